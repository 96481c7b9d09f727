"""The order after swaps, and the bracket that closes next."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_lengths_are_uniform, assert_refused, assert_solved, scored, search

from sandbox.tasks.dyck import FIRST_OPENING, NOTHING, DyckConfig
from sandbox.tasks.parts.groups import Group
from sandbox.tasks.parts.state_tracking import TargetAt
from sandbox.tasks.swaps import SwapsConfig


def order_after(task):
    """Solver by names alone: the swaps name two places, the answer lists where each item lies."""

    def solve(visible):
        names = [task.describe_token(token).name for token in visible]
        items = 3 if task.group is Group.S3 else 5
        place = list(range(items))
        for name in names:
            one, other = (int(digit) for digit in name.split("-"))
            place = [other if at == one else one if at == other else at for at in place]
        wanted = "".join(map(str, place))
        return next(t for t in range(task.vocab_size) if task.describe_token(t) == ("order", wanted))

    return solve


@pytest.mark.parametrize("target_at", TargetAt)
@pytest.mark.parametrize("group", [Group.S3, Group.S5])
def test_the_target_is_the_order_so_far(group, target_at, draw_batch):
    task = SwapsConfig(group=group, min_length=2, max_length=7, target_at=target_at)
    batch = draw_batch(task, 64)
    assert_solved(batch, order_after(task))
    for row in range(64):
        length = int(batch.slices["length"][row])
        asked = range(length) if target_at is TargetAt.every else [length - 1]
        assert [position for position, _ in scored(batch, row)] == list(asked)


def test_every_swap_of_two_places_occurs(draw_samples):
    task = SwapsConfig(min_length=4, max_length=6)
    batch = draw_samples(task, 2000)
    assert_lengths_are_uniform(batch, range(4, 7))
    names = {task.describe_token(int(token)).name for token in np.unique(batch.tokens) if token}
    assert names == {f"{a}-{b}" for a in range(5) for b in range(a + 1, 5)}


def closing(task):
    def solve(visible):
        stack = []
        for token in visible:
            if token < FIRST_OPENING + task.kinds:
                stack.append(token + task.kinds)
            else:
                assert stack.pop() == token
            assert len(stack) <= task.max_depth
        return stack[-1] if stack else NOTHING

    return solve


@search(max_examples=4)
@given(kinds=st.integers(1, 5), depth=st.integers(1, 4), target_at=st.sampled_from(TargetAt))
def test_the_target_closes_what_was_opened_last(kinds, depth, target_at, draw_batch):
    task = DyckConfig(kinds=kinds, max_depth=depth, min_length=3, max_length=12, target_at=target_at)
    assert_solved(draw_batch(task, 64), closing(task))


@pytest.mark.parametrize(("kinds", "depth", "length"), [(1, 1, 4), (2, 2, 3), (3, 2, 4), (2, 4, 5)])
def test_sequences_are_counted(kinds, depth, length, draw_samples):
    task = DyckConfig(kinds=kinds, max_depth=depth, min_length=length, max_length=length)
    drawn = draw_samples(task, 4000).tokens
    assert len({tuple(row) for row in drawn.tolist()}) == task.num_sequences(length)


REFUSALS = {
    "task.group=A5 must be S3 or S5": (SwapsConfig, {"group": Group.A5}),
    "task.kinds=0 must be a whole number of at least 1": (DyckConfig, {"kinds": 0}),
    "task.max_depth=0 must be a whole number of at least 1": (DyckConfig, {"max_depth": 0}),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_impossible_options_are_refused(message):
    assert_refused(*REFUSALS[message], message)
