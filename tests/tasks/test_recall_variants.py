"""Variants of associative recall: one query, updated keys, two-part keys, key and value in one position."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_refused, assert_solved, scored, search

from sandbox.tasks.ar import ARConfig
from sandbox.tasks.compositional import CompositionalConfig
from sandbox.tasks.forgetting import ForgettingConfig
from sandbox.tasks.parts.filler import Filler
from sandbox.tasks.stacked import StackedConfig

pair_counts = st.lists(st.integers(1, 7), min_size=1, max_size=3)


def sequences(task, batch):
    """Of each sequence its own tokens, without padding, its number of pairs, and its questions."""
    for row, tokens in enumerate(batch.tokens.tolist()):
        length, pairs = int(batch.slices["length"][row]), int(batch.slices["pairs"][row])
        assert (length, pairs) in {(part.length, part.pairs) for part in task.mixture}
        assert not any(tokens[length:]), "padding is token 0"
        yield tokens[:length], pairs, scored(batch, row)


def look_up(visible):
    """What followed the first occurrence of the last token."""
    return visible[visible.index(visible[-1]) + 1]


@search(max_examples=3)
@given(pairs=pair_counts, more=st.integers(0, 5))
def test_one_key_is_asked_for(pairs, more, draw_batch):
    task = ARConfig(vocab_size=2 * max(pairs) + 2 + more, pairs=pairs)
    batch = draw_batch(task, 64)
    assert_solved(batch, look_up)
    for tokens, pairs, questions in sequences(task, batch):
        keys, values = tokens[0:-1:2], tokens[1::2]
        assert len(keys) == len(set(keys)) == pairs
        assert all(1 <= key < task.vocab_size // 2 <= value for key, value in zip(keys, values, strict=True))
        assert tokens[-1] in keys
        assert [position for position, _ in questions] == [2 * pairs]


def test_each_key_is_as_likely_to_be_asked_for(draw_batch):
    tokens = draw_batch(ARConfig(pairs=4), 4000).tokens
    asked = (tokens[:, 0:8:2] == tokens[:, 8:]).mean(axis=0)
    assert np.abs(asked - 1 / 4).max() < 4.5 * np.sqrt(3 / 16 / 4000)


@st.composite
def forgetting_options(draw):
    updates = draw(st.integers(1, 3))
    pairs = [updates + n for n in draw(st.lists(st.integers(0, 4), min_size=1, max_size=2))]
    return {
        "vocab_size": 2 * max(pairs) + 2 + draw(st.integers(0, 5)),
        "length": [4 * n + 2 * updates + 2 * draw(st.integers(0, 5)) for n in pairs],
        "pairs": pairs,
        "num_updates": updates,
        "filler": draw(st.sampled_from([Filler.zeros, Filler.random_no_live_keys])),
    }


def look_up_last(visible):
    """What followed the last occurrence of the last token before it."""
    *earlier, key = visible
    return earlier[len(earlier) - earlier[::-1].index(key)]


@pytest.mark.slow(seconds=5)
@search(max_examples=4)
@given(options=forgetting_options())
def test_the_last_value_of_a_key_is_asked_for(options, draw_batch):
    task = ForgettingConfig(**options)
    batch = draw_batch(task, 64)
    assert_solved(batch, look_up_last)
    for tokens, pairs, questions in sequences(task, batch):
        end = 2 * (pairs + task.num_updates)
        keys, values = tokens[0:end:2], tokens[1:end:2]
        assert len(set(keys[:pairs])) == len(set(values[:pairs])) == pairs
        assert all(1 <= key < task.vocab_size // 2 <= value for key, value in zip(keys, values, strict=True))
        updates = dict(zip(keys[pairs:], values[pairs:], strict=True))
        assert len(updates) == task.num_updates
        old = dict(zip(keys[:pairs], values[:pairs], strict=True))
        assert all(value != old[key] for key, value in updates.items())
        assert [tokens[position] for position, _ in questions] == keys[:pairs]
        assert all(position >= end and position % 2 == 0 for position, _ in questions)


def test_every_key_is_as_likely_to_be_updated(draw_batch):
    tokens = draw_batch(ForgettingConfig(length=32, pairs=5, num_updates=2), 4000).tokens
    updated = (tokens[:, 0:10:2, None] == tokens[:, None, 10:14:2]).any(axis=2).mean(axis=0)
    assert np.abs(updated - 2 / 5).max() < 4.5 * np.sqrt(6 / 25 / 4000)


@st.composite
def compositional_options(draw):
    sides = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    pairs = [side**2 for side in sides]
    return {
        "vocab_size": 3 * max(max(pairs), max(sides) + 1) + draw(st.integers(0, 5)),
        "length": [6 * n + draw(st.integers(0, 9)) for n in pairs],
        "pairs": pairs,
        "power_a": draw(st.sampled_from([0.01, 1.0])),
        "filler": draw(st.sampled_from(Filler)),
    }


def look_up_both_parts(visible):
    """What followed the first occurrence of the last two tokens."""
    place = next(i for i in range(0, len(visible), 3) if visible[i : i + 2] == visible[-2:])
    return visible[place + 2]


@pytest.mark.slow(seconds=5)
@search(max_examples=4)
@given(options=compositional_options())
def test_both_parts_of_a_key_are_asked_for(options, draw_batch):
    task = CompositionalConfig(**options)
    third = task.vocab_size // 3
    batch = draw_batch(task, 64)
    assert_solved(batch, look_up_both_parts)
    for tokens, pairs, questions in sequences(task, batch):
        first, second, values = (tokens[part : 3 * pairs : 3] for part in range(3))
        keys = list(zip(first, second, strict=True))
        assert all(1 <= a < third <= b < 2 * third for a, b in keys)
        assert all(2 * third <= value < task.vocab_size for value in values)
        assert len(set(values)) == len(set(keys)) == pairs
        assert len(set(first)) == len(set(second)) == math.isqrt(pairs), "all combinations of the parts"
        asked = [(tokens[position - 1], tokens[position]) for position, _ in questions]
        assert asked == keys
        assert all(position >= 3 * pairs and position % 3 == 1 for position, _ in questions)
        places = {place for position, _ in questions for place in (position - 1, position)}
        filler = {token for i, token in enumerate(tokens) if i >= 3 * pairs and i not in places}
        if task.filler is Filler.zeros:
            assert not any(filler)
        if task.filler is Filler.random_no_live_keys:
            assert not filler & {*first, *second}


def test_combinations_of_parts_are_in_any_order(draw_batch):
    """Whether the second key of four shares its first part, its second part or neither with the first key."""
    tokens = draw_batch(CompositionalConfig(length=24, pairs=4), 3000).tokens
    shared = (tokens[:, 0:2] == tokens[:, 3:5]).mean(axis=0)
    assert np.abs(shared - 1 / 3).max() < 4.5 * np.sqrt(2 / 9 / 3000)


@pytest.mark.slow(seconds=4)
@search(max_examples=4)
@given(pairs=pair_counts, more=st.integers(0, 2), num_passes=st.integers(1, 3))
def test_one_position_has_key_and_value(pairs, more, num_passes, draw_batch):
    num_keys, num_values = max(pairs) + more, max(pairs) + 2 - more
    task = StackedConfig(num_keys=num_keys, num_values=num_values, pairs=pairs, num_passes=num_passes)

    def parts(token):
        return divmod(token, num_values + 1)

    def solve(visible):
        (asked, nothing), answers = parts(visible[-1]), map(parts, visible)
        assert nothing == 0
        return next(value for key, value in answers if key == asked)

    batch = draw_batch(task, 64)
    assert batch.targets.max() <= num_values, "bare values are asked for"
    assert_solved(batch, solve)
    for tokens, pairs, questions in sequences(task, batch):
        listed = [tokens[i * pairs : (i + 1) * pairs] for i in range(num_passes)]
        assert all(sorted(each) == sorted(listed[0]) for each in listed)
        keys, values = zip(*map(parts, listed[0]), strict=True)
        assert len(set(keys)) == len(set(values)) == pairs
        assert all(keys)
        assert all(values)
        assert sorted(parts(token)[0] for token in tokens[num_passes * pairs :]) == sorted(keys)
        assert [position for position, _ in questions] == list(range(num_passes * pairs, len(tokens)))


def test_stacked_pairs_come_and_are_asked_in_any_order(draw_batch):
    batch = draw_batch(StackedConfig(pairs=2, num_passes=2), 4000)
    keys = batch.tokens // 17
    again = [(keys[:, 0] == keys[:, later]).mean() for later in (2, 4)]
    assert np.abs(np.array(again) - 1 / 2).max() < 4.5 * np.sqrt(1 / 4 / 4000)


@pytest.mark.parametrize(
    ("config", "tested"),
    [
        (ARConfig(test_pairs=[4, 30]), [(9, 4), (61, 30)]),
        (StackedConfig(pairs=2, num_passes=2, test_pairs=[4, 12]), [(12, 4), (36, 12)]),
        (ForgettingConfig(test_lengths=[64, 128], test_pairs=8), [(64, 8), (128, 8)]),
        (CompositionalConfig(test_lengths=[64, 200], test_pairs=[4, 25]), [(64, 4), (200, 25)]),
    ],
)
def test_each_tested_difficulty_is_a_task_of_its_own(config, tested):
    tests = config.test_tasks()
    assert [[part[:2] for part in test.mixture] for test in tests] == [[part] for part in tested]
    assert {test.vocab_size for test in tests} == {config.vocab_size}


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (ARConfig, {"vocab_size": 3}, "task.vocab_size=3 must be a whole number of at least 4"),
        (
            ARConfig,
            {"vocab_size": 17, "pairs": [2, 8]},
            "task.pairs=8 needs task.vocab_size of at least 18 (2 x pairs + 2), got task.vocab_size=17",
        ),
        (
            ARConfig,
            {"test_pairs": [2, 40]},
            "task.test_pairs=40 needs task.vocab_size of at least 82 (2 x pairs + 2), got task.vocab_size=64",
        ),
        (ARConfig, {"test_pairs": [0]}, "task.test_pairs[0]=0 must be a whole number of at least 1"),
        (
            ForgettingConfig,
            {"pairs": 3},
            "task.pairs=3 must be at least task.num_updates=4",
        ),
        (
            ForgettingConfig,
            {"pairs": 8, "length": 38},
            "task.pairs=8, task.num_updates=4 needs task.length of at least 40 (4 x pairs + 2 x updates), "
            "got task.length=38",
        ),
        (ForgettingConfig, {"length": 63}, "task.length=63 must be even"),
        (ForgettingConfig, {"num_updates": 0}, "task.num_updates=0 must be a whole number of at least 1"),
        (CompositionalConfig, {"pairs": 6}, "task.pairs=6 must be a square number: 1, 4, 9, 16, ..."),
        (
            CompositionalConfig,
            {"pairs": 9, "length": 53},
            "task.pairs=9 needs task.length of at least 54 (6 x pairs), got task.length=53",
        ),
        (
            CompositionalConfig,
            {"pairs": 9, "vocab_size": 26},
            "task.pairs=9 needs task.vocab_size of at least 27 "
            "(a third for the values, one for 3 parts and token 0), got task.vocab_size=26",
        ),
        (StackedConfig, {"num_keys": 7}, "task.pairs=8 needs task.num_keys of at least 8, got task.num_keys=7"),
        (
            StackedConfig,
            {"test_pairs": 17},
            "task.test_pairs=17 needs task.num_keys of at least 17, got task.num_keys=16",
        ),
        (StackedConfig, {"num_values": 0}, "task.num_values=0 must be a whole number of at least 1"),
    ],
)
def test_impossible_options_are_refused(config, options, message):
    assert_refused(config, options, message)
