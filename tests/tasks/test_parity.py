"""Parity of the bits so far."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_lengths_are_uniform, assert_refused, assert_solved, scored, search

from sandbox.tasks.parity import PAD, ZERO, ParityConfig
from sandbox.tasks.parts.state_tracking import TargetAt


def solve(visible):
    return ZERO + sum(bit - ZERO for bit in visible) % 2


@pytest.mark.parametrize("target_at", TargetAt)
@search(max_examples=3)
@given(shortest=st.integers(1, 6), more=st.integers(0, 9))
def test_the_target_is_the_parity_so_far(target_at, shortest, more, draw_batch):
    task = ParityConfig(min_length=shortest, max_length=shortest + more, target_at=target_at)
    batch = draw_batch(task, 64)
    assert_solved(batch, solve)
    for row, tokens in enumerate(batch.tokens.tolist()):
        length = int(batch.slices["length"][row])
        assert task.min_length <= length <= task.max_length
        assert set(tokens[:length]) <= {ZERO, ZERO + 1}
        assert tokens[length:] == [PAD] * (task.max_len - length)
        asked = range(length) if target_at is TargetAt.every else [length - 1]
        assert [position for position, _ in scored(batch, row)] == list(asked)


def test_bits_and_lengths_are_uniform(draw_samples):
    batch = draw_samples(ParityConfig(min_length=3, max_length=6), 4000)
    assert_lengths_are_uniform(batch, range(3, 7))
    ones = np.mean(batch.tokens[:, :3] == ZERO + 1)
    assert abs(ones - 1 / 2) < 4.5 * np.sqrt(1 / 4 / 12_000)


def test_longer_sequences_are_tested():
    tests = ParityConfig(test_lengths=[40, 255], target_at=TargetAt.every).test_tasks()
    assert [(test.max_len, test.num_scored, test.slice_values) for test in tests] == [
        (40, 40, {"length": (40,)}),
        (255, 255, {"length": (255,)}),
    ]


REFUSALS = {
    "task.min_length=0 must be a whole number of at least 1": {"min_length": 0},
    "task.test_lengths[0]=0 must be a whole number of at least 1": {"test_lengths": [0]},
    "task.max_length=1 must be at least task.min_length=2": {"max_length": 1},
}


@pytest.mark.parametrize("message", REFUSALS)
def test_impossible_options_are_refused(message):
    assert_refused(ParityConfig, REFUSALS[message], message)


def test_a_wrong_type_is_refused():
    """As without the run-time type checks, which refuse it before the config can."""
    task = ParityConfig()
    task.target_at = "first"
    with pytest.raises(ValueError, match=r"task.target_at='first' must be a TargetAt, one of: every, last"):
        task.__post_init__()
