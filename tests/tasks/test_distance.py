"""Recall over distances: a needle after gaps of filler, and induction heads beyond the training length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_lengths_are_uniform, assert_refused, assert_solved, scored, search

from sandbox.tasks.induction import PAD, SPECIAL, InductionConfig
from sandbox.tasks.needle import NeedleConfig
from sandbox.tasks.parts.filler import Filler


@st.composite
def needle_options(draw):
    distractors = draw(st.integers(0, 3))
    gaps = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3))
    return {
        "vocab_size": 2 * distractors + 4 + draw(st.integers(0, 5)),
        "gap": [2 * distractors + gap for gap in gaps],
        "distractors": distractors,
        "filler": draw(st.sampled_from(Filler)),
    }


def look_up(visible):
    return visible[visible.index(visible[-1]) + 1]


@pytest.mark.slow(seconds=4)
@search(max_examples=4)
@given(options=needle_options())
def test_the_first_pair_is_asked_for_after_the_gap(options, draw_batch):
    task = NeedleConfig(**options)
    batch = draw_batch(task, 64)
    assert set(batch.slices["gap"].tolist()) == set(options["gap"])
    assert_solved(batch, look_up)
    for row, tokens in enumerate(batch.tokens.tolist()):
        gap = int(batch.slices["gap"][row])
        needle, value = tokens[:2]
        assert 1 <= needle < task.vocab_size // 2 <= value
        assert scored(batch, row) == [(gap + 2, value)]
        assert tokens[gap + 2 :] == [needle] + [0] * (task.max_len - gap - 3)
        if task.filler is not Filler.random:
            assert needle not in tokens[1 : gap + 2]
        if task.filler is Filler.zeros:
            keys = [i for i in range(2, gap + 2, 2) if tokens[i]]
            assert len({tokens[i] for i in keys}) == len(keys) == task.distractors
            assert all(0 < tokens[i] < task.vocab_size // 2 <= tokens[i + 1] for i in keys)
            assert sum(token != 0 for token in tokens[2 : gap + 2]) == 2 * task.distractors


def test_distractors_stand_anywhere_in_the_gap(draw_batch):
    """Two pairs in the five slots of a gap of 11."""
    task = NeedleConfig(gap=11, distractors=2, filler=Filler.zeros)
    share = (draw_batch(task, 3000).tokens[:, 2:12:2] != 0).mean(axis=0)
    assert np.abs(share - 2 / 5).max() < 4.5 * np.sqrt(6 / 25 / 3000)


def test_gaps_of_tests_may_be_longer():
    task = NeedleConfig(gap=[4, 8], test_gaps=[8, 100])
    assert task.test_tasks() == (NeedleConfig(gap=8), NeedleConfig(gap=100))
    assert [test.max_len for test in task.test_tasks()] == [11, 103]
    assert NeedleConfig().test_tasks() == (NeedleConfig(),)


@search(max_examples=3)
@given(shortest=st.integers(3, 9), more=st.integers(0, 6), alphabet_size=st.integers(1, 8))
def test_what_followed_the_special_token_is_asked_for(shortest, more, alphabet_size, draw_batch):
    task = InductionConfig(min_length=shortest, max_length=shortest + more, alphabet_size=alphabet_size)
    batch = draw_batch(task, 64)
    assert_solved(batch, look_up)
    for row, tokens in enumerate(batch.tokens.tolist()):
        length = int(batch.slices["length"][row])
        sequence = tokens[:length]
        assert shortest <= length <= shortest + more
        assert set(tokens[length:]) <= {PAD}
        assert sequence[-1] == SPECIAL
        assert sequence.count(SPECIAL) == 2
        assert all(SPECIAL <= token < task.vocab_size for token in sequence)
        assert [position for position, _ in scored(batch, row)] == [length - 1]


def test_lengths_and_places_of_the_special_token_are_uniform(draw_batch):
    batch = draw_batch(InductionConfig(min_length=8, max_length=10), 4000)
    assert_lengths_are_uniform(batch, range(8, 11))
    places = (batch.tokens[batch.slices["length"] == 8] == SPECIAL).argmax(axis=1)
    share = np.bincount(places, minlength=6) / len(places)
    assert len(share) == 6
    assert np.abs(share - 1 / 6).max() < 4.5 * np.sqrt(5 / 36 / len(places))


def test_lengths_of_tests_may_be_longer():
    lengths = [64, 2**20]
    assert [test.max_len for test in InductionConfig(test_lengths=lengths).test_tasks()] == lengths


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (NeedleConfig, {"gap": []}, "task.gap=[] must have at least one entry"),
        (NeedleConfig, {"gap": [4, -1]}, "task.gap[1]=-1 must be a whole number of at least 0"),
        (NeedleConfig, {"test_gaps": 8}, "task.test_gaps=8 must be a list of whole numbers of at least 0"),
        (
            NeedleConfig,
            {"distractors": 3, "gap": [8, 5]},
            "task.distractors=3 needs task.gap[1] of at least 6 (2 x distractors), got task.gap[1]=5",
        ),
        (
            NeedleConfig,
            {"distractors": 3, "vocab_size": 9},
            "task.distractors=3 needs task.vocab_size of at least 10 (2 x distractors + 4), got task.vocab_size=9",
        ),
        (
            InductionConfig,
            {"min_length": 2},
            "task.min_length=2 must be at least 3 (the special token, what follows it, the special token)",
        ),
        (InductionConfig, {"alphabet_size": 0}, "task.alphabet_size=0 must be a whole number of at least 1"),
    ],
)
def test_impossible_options_are_refused(config, options, message):
    assert_refused(config, options, message)
