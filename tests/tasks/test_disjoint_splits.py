"""No sequence of a task with few of them is in two splits; the streams of other tasks are what they were."""

import jax
import numpy as np
import pytest

from sandbox.tasks import TASKS
from sandbox.tasks.dyck import DyckConfig
from sandbox.tasks.modular_arithmetic import ModularArithmeticConfig
from sandbox.tasks.parity import ParityConfig
from sandbox.tasks.parts.expressions import num_bracketed
from sandbox.tasks.parts.groups import Group
from sandbox.tasks.streams import Split, hash_numbers, sample_at, split_of
from sandbox.tasks.swaps import SwapsConfig
from sandbox.tasks.word_problem import WordProblemConfig

FEW = {
    "parity": ParityConfig(min_length=3, max_length=11, test_lengths=[9]),
    "modular_arithmetic": ModularArithmeticConfig(min_length=3, max_length=7, test_lengths=[5]),
    "word_problem": WordProblemConfig(group=Group.S3, min_length=2, max_length=5, test_lengths=[4]),
    "swaps": SwapsConfig(group=Group.S3, min_length=3, max_length=7, test_lengths=[6]),
    "dyck": DyckConfig(max_depth=3, min_length=4, max_length=9, test_lengths=[8]),
}


def sequences(batch):
    """The sequences of a batch without padding, token 0."""
    return {tuple(np.trim_zeros(tokens, "b")) for tokens in batch.tokens.tolist()}


@pytest.mark.slow(seconds=8)
@pytest.mark.parametrize("name", FEW)
def test_splits_share_no_sequence_whatever_their_padding(name, draw_batch):
    task = FEW[name]
    drawn = {split: sequences(draw_batch(task, 4000, split=split)) for split in Split}
    assert len(set.union(*drawn.values())) == sum(map(len, drawn.values()))
    (tested,) = task.test_tasks()
    of_test = sequences(draw_batch(tested, 4000, split=Split.TEST))
    assert of_test
    assert not of_test & drawn[Split.TRAIN]
    assert len(drawn[Split.TRAIN] & sequences(draw_batch(task, 4000, seed=1))) > 300, "there are few sequences"


def test_a_split_without_sequences_takes_those_of_another(draw_batch):
    task = ParityConfig(min_length=1, max_length=1)
    owners = jax.vmap(lambda tokens: split_of(tokens, hash_numbers(task)))(jax.numpy.array([[1], [2]]))
    (without, *_) = {*Split} - set(owners.tolist())
    assert sequences(draw_batch(task, 50, split=Split(without))) == {(1,), (2,)}


def test_other_tasks_draw_straight_from_the_key(task):
    """Their streams are those that all tasks had before any had disjoint splits."""

    def program(function):
        return str(jax.make_jaxpr(function)(jax.random.key(0), 5))

    direct = program(
        lambda key, index: task.sample(jax.random.fold_in(jax.random.fold_in(key, Split.TEST), index))
    )
    drawn = program(lambda key, index: sample_at(task, key, Split.TEST, index))
    assert (drawn == direct) == (type(task) not in map(type, FEW.values()))


def test_splits_are_disjoint_only_where_the_shortest_sequences_are_few():
    assert ParityConfig(min_length=26, max_length=40).disjoint_splits
    assert not ParityConfig(min_length=27, max_length=40).disjoint_splits
    assert not ModularArithmeticConfig(min_length=15).disjoint_splits
    assert {name for name, task in TASKS.items() if task().disjoint_splits} == FEW.keys()


@pytest.mark.parametrize("length", [3, 6, 7])
def test_expressions_in_brackets_are_counted(length, draw_samples):
    task = ModularArithmeticConfig(brackets=True, modulus=2, min_length=length, max_length=length)
    assert len(sequences(draw_samples(task, 4000))) == num_bracketed(length, modulus=2, num_operators=3)
