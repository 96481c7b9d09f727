"""Products of group elements, and the groups themselves."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_lengths_are_uniform, assert_refused, assert_solved, scored, search

from sandbox.tasks.parts.groups import Group, elements, multiplication_table
from sandbox.tasks.parts.state_tracking import TargetAt
from sandbox.tasks.word_problem import FIRST_ELEMENT, PAD, WordProblemConfig

ORDERS = {Group.Z60: 60, Group.A4xZ5: 60, Group.A5: 60, Group.S3: 6, Group.S5: 120}


def apply_in_turn(names, group):
    """The name of the product, worked out on the things that are permuted, one element after the other."""
    things = {Group.Z60: 0, Group.A4xZ5: 4, Group.A5: 5, Group.S3: 3, Group.S5: 5}[group]
    modulus = {Group.Z60: 60, Group.A4xZ5: 5}.get(group)
    where = list(range(things))
    total = 0
    for name in names:
        images, _, number = name.partition("+") if things else ("", "", name)
        where = [int(images[place]) for place in where]
        total += int(number or 0)
    permutation = "".join(map(str, where))
    return {0: "", 4: "+"}.get(things, "").join(
        filter(None, [permutation, str(total % modulus) if modulus else ""])
    )


def solver(task):
    number = {task.describe_token(token).name: token for token in range(FIRST_ELEMENT, task.vocab_size)}
    return lambda visible: number[apply_in_turn([task.describe_token(t).name for t in visible], task.group)]


@pytest.mark.parametrize("group", Group)
@search(max_examples=2)
@given(shortest=st.integers(1, 5), more=st.integers(0, 6), target_at=st.sampled_from(TargetAt))
def test_the_target_is_the_product_so_far(group, shortest, more, target_at, draw_batch):
    task = WordProblemConfig(group=group, min_length=shortest, max_length=shortest + more, target_at=target_at)
    batch = draw_batch(task, 64)
    assert_solved(batch, solver(task))
    for row, tokens in enumerate(batch.tokens.tolist()):
        length = int(batch.slices["length"][row])
        assert task.min_length <= length <= task.max_length
        assert all(FIRST_ELEMENT <= token < task.vocab_size for token in tokens[:length])
        assert tokens[length:] == [PAD] * (task.max_len - length)
        asked = range(length) if target_at is TargetAt.every else [length - 1]
        assert [position for position, _ in scored(batch, row)] == list(asked)


@pytest.mark.parametrize("group", Group)
def test_the_tables_are_groups(group):
    table = multiplication_table(group)
    order = ORDERS[group]
    assert table.shape == (order, order)
    assert len(set(elements(group))) == order
    everything = list(range(order))
    assert table[0].tolist() == table[:, 0].tolist() == everything, "element 0 is the identity"
    assert all(sorted(row) == everything for row in table.tolist()), "every element has an inverse"
    np.testing.assert_array_equal(table[table], table[:, table])  # (a b) c = a (b c)


def commutators(table, subgroup):
    """The elements that commutators of the subgroup generate."""
    inverse = np.argmin(table, axis=1)
    found = {int(table[table[inverse[a], inverse[b]], table[a, b]]) for a in subgroup for b in subgroup}
    while not (grown := found | {int(table[a, b]) for a in found for b in found}) <= found:
        found = grown
    return found


@pytest.mark.parametrize(
    ("group", "series"),
    [
        (Group.Z60, [60, 1]),
        (Group.A4xZ5, [60, 4, 1]),
        (Group.A5, [60, 60]),
        (Group.S3, [6, 3, 1]),
        (Group.S5, [120, 60, 60]),
    ],
)
def test_the_groups_are_those_of_their_names(group, series):
    """Orders of the derived series, which ends in 1 where the group is solvable."""
    table = multiplication_table(group)
    subgroup = set(range(len(table)))
    for order in series:
        assert len(subgroup) == order
        subgroup = commutators(table, subgroup)


def test_elements_and_lengths_are_uniform(draw_samples):
    batch = draw_samples(WordProblemConfig(group=Group.S3, min_length=3, max_length=6), 4000)
    assert_lengths_are_uniform(batch, range(3, 7))
    share = np.bincount(batch.tokens[:, :3].ravel() - FIRST_ELEMENT, minlength=6) / 12_000
    assert np.abs(share - 1 / 6).max() < 4.5 * np.sqrt(5 / 36 / 12_000)


def test_a_product_is_the_first_followed_by_the_second():
    """The example of the docstring."""
    things = list(itertools.permutations(range(3)))
    tokens = [things.index(element) for element in [(1, 0, 2), (1, 2, 0), (0, 2, 1), (1, 0, 2)]]
    products = itertools.accumulate(tokens, lambda first, then: multiplication_table(Group.S3)[first, then])
    assert [things[product] for product in products] == [(1, 0, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)]


def test_longer_sequences_are_tested():
    tests = WordProblemConfig(group=Group.S5, test_lengths=[16, 64]).test_tasks()
    assert [(test.group, test.max_len, test.slice_values) for test in tests] == [
        (Group.S5, 16, {"length": (16,)}),
        (Group.S5, 64, {"length": (64,)}),
    ]
    assert {test.vocab_size for test in tests} == {math.factorial(5) + 1}


REFUSALS = {
    "task.min_length=0 must be a whole number of at least 1": {"min_length": 0},
    "task.test_lengths[0]=0 must be a whole number of at least 1": {"test_lengths": [0]},
    "task.max_length=1 must be at least task.min_length=2": {"max_length": 1},
}


@pytest.mark.parametrize("message", REFUSALS)
def test_impossible_options_are_refused(message):
    assert_refused(WordProblemConfig, REFUSALS[message], message)


def test_a_wrong_type_is_refused():
    """As without the run-time type checks, which refuse it before the config can."""
    task = WordProblemConfig()
    task.group = "S4"
    with pytest.raises(ValueError, match=r"task.group='S4' must be a Group, one of: Z60, A4xZ5, A5, S3, S5"):
        task.__post_init__()
