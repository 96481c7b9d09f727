"""What is answered right without knowing the sequence, or without knowing whose a value is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.run import chance_of_each
from sandbox.tasks import TASKS
from sandbox.tasks.copy import CopyConfig
from sandbox.tasks.joint_recall import Order
from sandbox.tasks.modular_arithmetic import ModularArithmeticConfig
from sandbox.tasks.parts.filler import Filler
from sandbox.tasks.parts.groups import Group
from sandbox.tasks.parts.state_tracking import TargetAt
from sandbox.tasks.selectiv import Gap
from sandbox.tasks.streams import Split
from sandbox.tasks.task import on_each
from sandbox.train.config import TrainConfig
from sandbox.train.evaluation import EvaluationSet
from sandbox.train.step import Problem, score

SMALL = {
    "mqar": {"vocab_size": 16, "length": 32, "pairs": (2, 4)},
    "ar": {"vocab_size": 16, "pairs": (2, 4)},
    "forgetting": {"vocab_size": 16, "length": 32, "pairs": (2, 4), "num_updates": 2},
    "versions": {"vocab_size": 20, "pairs": (1, 3)},
    "multi_hop": {"vocab_size": 20, "num_chains": 3, "chain_length": 3},
    "compositional": {"vocab_size": 24, "length": 32, "pairs": (1, 4)},
    "joint_recall": {"vocab_size": 20, "contexts": (1, 2), "keys": (2, 3), "order": Order.either},
    "stacked": {"num_keys": 8, "num_values": 8, "pairs": (2, 4)},
    "noisy": {"vocab_size": 16, "noise_vocab_size": 4, "length": 16},
    "fuzzy": {"length": 24, "key_size": 2, "value_size": 2},
    "phonebook": {"pairs": (2, 4), "number_size": 3, "alphabet_size": 4},
    "memorization": {"vocab_size": 32, "length": 8},
    "compression": {"length": 6, "alphabet_size": 6},
    "selective_copy": {"length": 16, "num_letters": 4, "vocab_size": 8},
    "needle": {"vocab_size": 16, "gap": (8, 16), "distractors": 2, "filler": Filler.zeros},
    "niah": {"vocab_size": 24, "min_length": 16, "max_length": 18, "distractors": 2},
    "induction": {"min_length": 8, "max_length": 10, "alphabet_size": 6},
    "copy": {"min_length": 2, "max_length": 6, "alphabet_size": 4},
    "reverse": {"min_length": 2, "max_length": 6, "alphabet_size": 4},
    "ngram_lookup": {"min_length": 6, "max_length": 8},
    "duplicate_ngram": {"min_length": 6, "max_length": 8, "alphabet_size": 4},
    "parity": {"min_length": 7, "max_length": 8},
    "modular_arithmetic": {"min_length": 5, "max_length": 9},
    "word_problem": {"min_length": 3, "max_length": 5, "group": Group.S3},
    "swaps": {"min_length": 6, "max_length": 7},
    "dyck": {"min_length": 6, "max_length": 9, "max_depth": 3},
    "selectiv": {"num_symbols": 3, "states_per_symbol": 2, "num_starts": 2, "elements": 8, "gap": Gap.violating},
    "icll": {"num_symbols": 6, "max_states": 5, "min_strings": 4, "max_strings": 5, "max_length": 5},
}
"""Options with which a task is drawn and read quickly; a new one has its defaults."""

DRAWN = 6000


@pytest.fixture(params=TASKS)
def small(request):
    """A task at a small size."""
    return TASKS[request.param](**SMALL.get(request.param, {}))


def right_by_token(task, batch):
    """The share of a sequence's questions that each token answers right: [sequence, token]."""
    right = np.eye(task.vocab_size)[batch.targets] if batch.legal is None else batch.legal
    weights = batch.weights / batch.weights.sum(axis=1, keepdims=True)
    return np.einsum("em,emn->en", weights, right)


def assert_best_constant_answer_scores_chance(task, batch):
    """The token that is best on one half of the sequences of a difficulty is the guess on the other half."""
    right, chance = right_by_token(task, batch), on_each(task.chance, batch.slices)
    difficulties = np.stack([*batch.slices.values()], axis=1)
    excess = []
    for difficulty in np.unique(difficulties, axis=0):
        here = np.flatnonzero((difficulties == difficulty).all(axis=1))
        choose, check = np.split(here, [len(here) // 2])
        excess.append(right[check, right[choose].mean(axis=0).argmax()] - chance[check])
    excess = np.concatenate(excess)
    assert abs(excess.mean()) < 3 * excess.std() / len(excess) ** 0.5


@pytest.mark.slow(seconds=3)
def test_no_constant_answer_beats_chance_and_one_reaches_it(small, draw_batch):
    assert_best_constant_answer_scores_chance(small, draw_batch(small, DRAWN))


@pytest.mark.slow(seconds=3)
def test_an_untrained_model_is_not_above_chance(small, draw_batch):
    """On average over random parameters, and with a readout of its own: a tied one repeats what it reads."""
    model = ModelConfig(d_model=8, layout=["mixer"], tied=False)
    problem = Problem(model, MIXERS["softmax"](), small, TrainConfig())
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf[:128]), draw_batch(small, DRAWN))

    def accuracy(key, batch):
        params = nnx.to_pure_dict(nnx.state(problem.make_model(key), nnx.Param))
        return score(problem, batch, params).accuracy.mean()

    keys = jax.random.split(jax.random.key(0), 64)
    found = jax.jit(jax.vmap(accuracy, in_axes=(0, None)))(keys, batch)
    assert found.mean() < on_each(small.chance, batch.slices).mean() + 3 * found.std() / len(found) ** 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"target_at": TargetAt.every, "modulus": 6},
        {"brackets": True, "modulus": 4, "min_length": 12, "max_length": 12},
        {"multiplication": False, "modulus": 3},
    ],
    ids=str,
)
def test_zero_is_the_likeliest_value_of_an_expression(options, draw_batch):
    task = ModularArithmeticConfig(**{"min_length": 5, "max_length": 9} | options)
    assert_best_constant_answer_scores_chance(task, draw_batch(task, DRAWN))


@pytest.mark.parametrize("name", ["mqar", "ar", "forgetting", "compositional", "needle"])
def test_naming_the_value_of_a_random_pair(name, draw_batch):
    """A value stands where a pair or its update is listed, and nowhere else."""
    task = TASKS[name](**SMALL[name])
    batch = draw_batch(task, DRAWN)
    listed = np.array([task.describe_token(token).kind == "value" for token in range(task.vocab_size)])[
        batch.tokens
    ]
    same = (batch.tokens[:, None, :] == batch.targets[:, :, None]) & listed[:, None, :]
    right = same.sum(axis=2) / listed.sum(axis=1)[:, None]
    accuracy = (right * batch.weights).sum(axis=1) / batch.weights.sum(axis=1)
    excess = accuracy - on_each(task.context_chance, batch.slices)
    assert abs(excess.mean()) <= 3 * excess.std() / len(excess) ** 0.5 + 1e-6


def test_the_chance_of_a_tested_length_is_its_own():
    """Of 3 letters and EOS, EOS is a fourth; of 53 letters and EOS, one of 26 letters has more."""
    examples = EvaluationSet(CopyConfig(test_lengths=[3, 53]), Split.TEST, 2)
    np.testing.assert_allclose(chance_of_each(examples), [1 / 4, 1 / 4, 53 / 54 / 26, 53 / 54 / 26])
