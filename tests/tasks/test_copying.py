"""Copying: the answer is the string, teacher-forced, and nothing else is scored."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sandbox.tasks.copy import BOS, EOS, FIRST_LETTER, PAD, SEP, CopyConfig


@st.composite
def options(draw):
    shortest = draw(st.integers(1, 8))
    return {
        "min_length": shortest,
        "max_length": shortest + draw(st.integers(0, 8)),
        "alphabet_size": draw(st.integers(1, 30)),
    }


@settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])
@given(options=options())
def test_every_example_is_a_string_and_its_copy(options, draw_batch):
    task = CopyConfig(**options)
    batch = draw_batch(task, 64)
    for i, tokens in enumerate(batch.tokens.tolist()):
        length = int(batch.slices["length"][i])
        assert task.min_length <= length <= task.max_length
        string = tokens[1 : length + 1]
        assert all(FIRST_LETTER <= letter < task.vocab_size for letter in string)
        sequence = [BOS, *string, SEP, *string]
        assert tokens == sequence + [PAD] * (task.max_len - len(sequence))

        weights = batch.weights[i].tolist()
        assert weights == [1.0] * (length + 1) + [0.0] * (task.max_length - length)
        assert batch.targets[i, : length + 1].tolist() == [*string, EOS]
        answer_starts = tokens.index(SEP)
        scored = batch.positions[i, : length + 1].tolist()
        assert scored == list(range(answer_starts, answer_starts + length + 1))


def test_lengths_and_letters_are_uniform(draw_batch):
    batch = draw_batch(CopyConfig(min_length=3, max_length=6, alphabet_size=5), 4000)
    lengths = np.bincount(batch.slices["length"], minlength=7)[3:] / 4000
    assert np.abs(lengths - 1 / 4).max() < 4.5 * np.sqrt(3 / 16 / 4000)
    letters = batch.tokens[:, 1:4].ravel()
    share = np.bincount(letters - FIRST_LETTER, minlength=5) / letters.size
    assert np.abs(share - 1 / 5).max() < 4.5 * np.sqrt(4 / 25 / letters.size)


def test_the_default_vocabulary_is_the_alphabet_and_four_marks():
    assert CopyConfig().vocab_size == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"min_length": 9, "max_length": 8},
            "task.max_length=8 must be >= task.min_length, got task.min_length=9",
        ),
        ({"min_length": 0}, "task.min_length=0 must be a whole number >= 1"),
        ({"max_length": -1}, "task.max_length=-1 must be a whole number >= 1"),
        ({"alphabet_size": 0}, "task.alphabet_size=0 must be a whole number >= 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        CopyConfig(**options)
    assert str(refusal.value) == message
