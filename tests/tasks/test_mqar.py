"""Associative recall: the rules of the task hold in every example, and the queries have the published law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from solving import search

from sandbox.tasks.mqar import MQARConfig
from sandbox.tasks.parts.filler import Filler


@st.composite
def options(draw):
    """Options of small tasks, tight ones included: every slot queried, every key in use."""
    count = draw(st.integers(1, 3))
    pairs = draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))
    num_passes = draw(st.integers(1, 3))
    length = [2 * (num_passes + 1) * n + 2 * draw(st.integers(0, 6)) for n in pairs]
    return {
        "vocab_size": 2 * max(pairs) + 2 + draw(st.integers(0, 9)),
        "length": length,
        "pairs": pairs,
        "weights": draw(st.sampled_from([1, 0.5, [3.0, 1.0, 2.0][:count]])),
        "power_a": draw(st.sampled_from([0.01, 1.0, 3.0])),
        "filler": draw(st.sampled_from(Filler)),
        "num_passes": num_passes,
    }


def solve(tokens, position):
    """Answer by looking the query up: what followed its first occurrence."""
    return tokens[tokens.index(tokens[position]) + 1]


def assert_rules(task, tokens, positions, targets, pairs, length):
    """All that the definition says of one sequence; `positions` and `targets` are those that are scored."""
    context, queries = tokens[: 2 * pairs], [tokens[position] for position in positions]
    after_context = 2 * pairs * task.num_passes
    keys, values = context[0::2], context[1::2]
    assert tokens[:after_context] == context * task.num_passes
    assert [solve(tokens, position) for position in positions] == targets

    assert len(set(keys)) == len(set(values)) == pairs
    assert all(1 <= key < task.vocab_size // 2 for key in keys)
    assert all(task.vocab_size // 2 <= value < task.vocab_size for value in values)

    assert queries == keys, "each key is queried once, and the answers are in the order of the keys"
    assert targets == values
    assert all(position % 2 == 0 and after_context <= position < length for position in positions)

    assert not any(tokens[length:]), "padding is token 0"
    filler = [token for i, token in enumerate(tokens) if after_context <= i < length and i not in positions]
    match task.filler:
        case Filler.zeros:
            assert not any(filler), "no value is shown outside the context"
        case Filler.random_no_live_keys:
            assert not set(filler) & set(keys)


def assert_every_example_keeps_the_rules(task, batch):
    for i, tokens in enumerate(batch.tokens.tolist()):
        pairs, length = int(batch.slices["pairs"][i]), int(batch.slices["length"][i])
        assert (length, pairs) in {(part.length, part.pairs) for part in task.mixture}
        assert batch.weights[i].tolist() == [1.0] * pairs + [0.0] * (task.num_scored - pairs)
        assert_rules(
            task,
            tokens,
            batch.positions[i, :pairs].tolist(),
            batch.targets[i, :pairs].tolist(),
            pairs,
            length,
        )


@pytest.mark.slow(seconds=7)
@search(max_examples=6)
@given(options=options())
def test_every_example_keeps_the_rules(options, draw_batch):
    task = MQARConfig(**options)
    assert_every_example_keeps_the_rules(task, draw_batch(task, 64))


@pytest.mark.slow
@search(max_examples=20)
@given(options=options())
def test_every_example_keeps_the_rules_in_many_tasks(options, draw_batch):
    task = MQARConfig(**options)
    assert_every_example_keeps_the_rules(task, draw_batch(task, 64))


def test_the_default_keeps_the_rules(draw_batch):
    assert_every_example_keeps_the_rules(MQARConfig(), draw_batch(MQARConfig()))


def test_queries_have_the_law_of_zoology(draw_batch):
    """Share of queries at each slot, as 20 000 sequences of Zoology's own generator have it."""
    batch = draw_batch(MQARConfig(vocab_size=256, length=64, pairs=4, weights=1), 20_000)
    slots = (batch.positions - 8) // 2
    share = np.bincount(slots.ravel(), minlength=28) / slots.size
    assert len(share) == 28
    published = np.array([0.180, 0.119, 0.085, 0.069, 0.057, 0.048, 0.011])
    measured = share[[0, 1, 2, 3, 4, 5, 27]]
    # Both sides are samples of 80 000 queries, and the published figures are rounded.
    tolerance = 4 * np.sqrt(2 * published * (1 - published) / slots.size) + 0.0005
    assert (np.abs(measured - published) < tolerance).all(), measured


def test_the_first_query_falls_near_the_context(draw_batch):
    """The slot of key 0 has exactly the power law; those of later keys are drawn from what is left."""
    batch = draw_batch(MQARConfig(vocab_size=256, length=64, pairs=4, weights=1), 20_000)
    law = (1.0 + np.arange(28)) ** (0.01 - 1)
    law /= law.sum()
    share = np.bincount((batch.positions[:, 0] - 8) // 2, minlength=28) / 20_000
    assert (np.abs(share - law) < 4.5 * np.sqrt(law * (1 - law) / 20_000)).all(), share


def test_power_one_asks_uniformly(draw_batch):
    batch = draw_batch(MQARConfig(length=16, pairs=2, weights=1, power_a=1.0), 4000)
    share = np.bincount(((batch.positions - 4) // 2).ravel(), minlength=6) / 8000
    assert np.abs(share - 1 / 6).max() < 4.5 * np.sqrt(5 / 36 / 8000)


def test_difficulties_occur_as_often_as_their_weights(draw_batch):
    pairs = draw_batch(MQARConfig(pairs=[4, 8, 16], weights=[2, 1, 1]), 4000).slices["pairs"]
    share = [np.mean(pairs == n) for n in (4, 8, 16)]
    assert np.abs(np.array(share) - [0.5, 0.25, 0.25]).max() < 4.5 * np.sqrt(0.25 / 4000)


def test_random_filler_covers_the_vocabulary_and_does_not_tell_the_answer(draw_batch):
    task = MQARConfig(vocab_size=32, length=64, pairs=4, weights=1, filler=Filler.random)
    batch = draw_batch(task, 2000)
    rows = np.arange(2000)[:, None]
    after_query = batch.tokens[rows, batch.positions + 1]
    share = np.bincount(after_query.ravel(), minlength=32) / after_query.size
    sampling_error = np.sqrt(1 / 32 / after_query.size)
    assert np.abs(share - 1 / 32).max() < 4.5 * sampling_error
    assert abs(np.mean(after_query == batch.targets) - 1 / 32) < 4.5 * sampling_error


def test_filler_without_live_keys_is_uniform_over_all_else(draw_batch):
    """Pair counts differ, so that some of the keys that are drawn are not in the sequence and may be filler."""
    task = MQARConfig(vocab_size=16, length=32, pairs=[1, 6], weights=1, filler=Filler.random_no_live_keys)
    batch = draw_batch(task, 3000)
    for pairs in (1, 6):
        some = batch.slices["pairs"] == pairs
        keys = batch.tokens[some][:, 0 : 2 * pairs : 2]
        filler = batch.tokens[some][:, 2 * pairs + 1 :: 2].ravel()
        repeated = np.repeat(keys, filler.size // len(keys), axis=0)
        below = (repeated < filler[:, None]).sum(axis=1)
        share = np.bincount(filler - below, minlength=16 - pairs) / filler.size
        assert not (repeated == filler[:, None]).any()
        assert len(share) == 16 - pairs
        assert np.abs(share - 1 / (16 - pairs)).max() < 4.5 * np.sqrt(1 / (16 - pairs) / filler.size)


@pytest.mark.slow(seconds=5)
def test_filler_leaves_pairs_and_queries_as_they_are(draw_batch):
    zeros, *others = (draw_batch(MQARConfig(filler=filler)) for filler in Filler)
    for other in others:
        np.testing.assert_array_equal(zeros.targets, other.targets)
        np.testing.assert_array_equal(zeros.positions, other.positions)


def test_memory_does_not_grow_with_the_vocabulary():
    task = MQARConfig(vocab_size=1_000_003)
    program = jax.jit(task.sample).lower(jax.random.key(0)).compile()
    assert program.memory_analysis().temp_size_in_bytes < 100_000


def test_numbers_hold_for_every_difficulty():
    task = MQARConfig(length=64, pairs=[4, 8], weights=1)
    assert task.mixture == ((64, 4, 1), (64, 8, 1))
    assert task.slice_values == {"length": (64,), "pairs": (4, 8)}
    assert (task.max_len, task.num_scored) == (64, 8)
    single = MQARConfig(length=32, pairs=2, weights=1)
    assert single.mixture == ((32, 2, 1),)


def test_each_tested_difficulty_is_a_task_of_its_own():
    task = MQARConfig(vocab_size=64, pairs=[2, 4], weights=[3, 1], test_lengths=[32, 64], test_pairs=[4, 16])
    tested = [MQARConfig(vocab_size=64, length=length, pairs=pairs) for length, pairs in ((32, 4), (64, 16))]
    assert task.test_tasks() == tuple(tested)
    assert MQARConfig(test_lengths=[64, 128], test_pairs=4).test_tasks()[1] == MQARConfig(length=128, pairs=4)
    assert MQARConfig().test_tasks() == (MQARConfig(),)


def test_lists_and_tuples_are_the_same_config():
    assert MQARConfig(pairs=[4, 8], weights=[1, 2]) == MQARConfig(pairs=(4, 8), weights=(1, 2))
    assert hash(MQARConfig(pairs=[4, 8], weights=[1, 2])) == hash(MQARConfig(pairs=(4, 8), weights=(1, 2)))


def test_a_number_may_replace_a_list_on_the_command_line():
    config = OmegaConf.structured(MQARConfig)
    config = OmegaConf.merge(config, OmegaConf.from_dotlist(["pairs=6", "weights=1", "filler=random"]))
    expected = MQARConfig(pairs=6, weights=1, filler=Filler.random)
    assert OmegaConf.to_object(config) == expected


REFUSALS = {
    "task.pairs=20 needs task.length of at least 80 (4 x pairs), got task.length=64": {"pairs": 20, "weights": 1},
    "task.pairs=5 needs task.length of at least 20 (4 x pairs), got task.length=18": {
        "length": [64, 18],
        "pairs": 5,
        "weights": 1,
    },
    "task.pairs=4 needs task.vocab_size of at least 10 (2 x pairs + 2), got task.vocab_size=9": {"vocab_size": 9},
    "task.length=63 must be even": {"length": 63},
    "task.length='64' must be a whole number of at least 4": {"length": "64"},
    "task.pairs='abc' must be a whole number of at least 1": {"pairs": "abc"},
    "task.pairs=True must be a whole number of at least 1": {"pairs": True},
    "task.pairs=None must be a whole number of at least 1": {"pairs": None},
    "task.pairs=4.0 must be a whole number of at least 1": {"pairs": 4.0},
    "task.pairs[1]='8' must be a whole number of at least 1": {"pairs": [4, "8", 16]},
    "task.pairs[2]=0 must be a whole number of at least 1": {"pairs": [4, 8, 0]},
    "task.weights[1]=0 must be a finite number above 0": {"weights": [1, 0, 1]},
    "task.weights=-1 must be a finite number above 0": {"weights": -1},
    "task.weights=nan must be a finite number above 0": {"weights": float("nan")},
    "task.weights=inf must be a finite number above 0": {"weights": float("inf")},
    "task.pairs=[4, 8], task.weights=[2, 1, 1] must have equally many entries, at least one; "
    "a number holds for all": {"pairs": [4, 8], "weights": [2, 1, 1]},
    "task.pairs=[], task.weights=[] must have equally many entries, at least one; a number holds for all": {
        "pairs": [],
        "weights": [],
    },
    "task.power_a=0.0 must be a finite number above 0": {"power_a": 0.0},
    "task.num_passes=0 must be a whole number of at least 1": {"num_passes": 0},
    "task.pairs=16 needs task.length of at least 96 (6 x pairs at task.num_passes=2), got task.length=64": {
        "num_passes": 2
    },
    "task.test_pairs=32 needs task.test_lengths of at least 128 (4 x pairs), got task.test_lengths=64": {
        "test_lengths": [64, 64],
        "test_pairs": [4, 32],
    },
    "task.test_pairs=[] must have equally many entries, at least one; a number holds for all": {
        "test_lengths": 64
    },
}


@pytest.mark.parametrize("message", REFUSALS)
def test_impossible_options_are_refused(message):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        MQARConfig(**REFUSALS[message])
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("vocab_size", "256", "task.vocab_size='256' must be a whole number of at least 4"),
        ("power_a", "small", "task.power_a='small' must be a finite number above 0"),
        ("filler", "zeros", "task.filler='zeros' must be a Filler, one of: zeros, random, random_no_live_keys"),
    ],
)
def test_wrong_types_are_refused(option, value, message):
    """As without the run-time type checks, which refuse these before the config can."""
    task = MQARConfig()
    setattr(task, option, value)
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        task.__post_init__()
    assert str(refusal.value) == message


def test_the_drawn_example_of_the_docstring_is_solved():
    tokens = [5, 12, 3, 9, 5, 0, 0, 0, 3, 0, 0, 0]
    task = MQARConfig(vocab_size=16, length=12, pairs=2, weights=1)
    assert_rules(task, tokens, positions=[4, 8], targets=[12, 9], pairs=2, length=12)
    assert jnp.array(tokens).shape == (task.max_len,)
