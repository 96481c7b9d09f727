"""Copying, reversal, and copying of repeated n-grams: the answer is teacher-forced, and nothing else is scored."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_lengths_are_uniform, assert_refused, assert_solved, scored, search

from sandbox.tasks.copy import CopyConfig
from sandbox.tasks.duplicate_ngram import DuplicateNgramConfig
from sandbox.tasks.parts.strings import BOS, EOS, FIRST_LETTER, PAD, SEP
from sandbox.tasks.reverse import ReverseConfig


@st.composite
def options(draw):
    shortest = draw(st.integers(1, 8))
    return {
        "min_length": shortest,
        "max_length": shortest + draw(st.integers(0, 8)),
        "alphabet_size": draw(st.integers(1, 30)),
    }


def string_and_answer(visible):
    """The string, and what has been shown of the answer."""
    end = visible.index(SEP)
    return visible[1:end], visible[end + 1 :]


def copy(visible):
    string, shown = string_and_answer(visible)
    return [*string, EOS][len(shown)]


def reverse(visible):
    string, shown = string_and_answer(visible)
    return [*reversed(string), EOS][len(shown)]


def assert_laid_out(task, batch, answer_of):
    """All that the definition says but the answers: marks, letters, padding, and what is scored."""
    for row, tokens in enumerate(batch.tokens.tolist()):
        length = int(batch.slices["length"][row])
        assert task.min_length <= length <= task.max_length
        string = tokens[1 : length + 1]
        assert all(FIRST_LETTER <= letter < task.vocab_size for letter in string)
        sequence = [BOS, *string, SEP, *answer_of(string)]
        assert tokens == sequence + [PAD] * (task.max_len - len(sequence))
        assert [position for position, _ in scored(batch, row)] == list(range(length + 1, 2 * length + 2))


@search(max_examples=3)
@given(options=options())
def test_a_copy_is_the_string(options, draw_batch):
    task = CopyConfig(**options)
    batch = draw_batch(task, 64)
    assert_laid_out(task, batch, answer_of=list)
    assert_solved(batch, copy)


@search(max_examples=3)
@given(options=options())
def test_a_reversal_is_the_string_from_its_end(options, draw_batch):
    task = ReverseConfig(**options)
    batch = draw_batch(task, 64)
    assert_laid_out(task, batch, answer_of=lambda string: string[::-1])
    assert_solved(batch, reverse)


@search(max_examples=3)
@given(options=options(), ngram=st.integers(0, 4))
def test_a_duplicated_ngram_occurs_twice(options, ngram, draw_batch):
    shortest = max(options["min_length"], 2 * ngram)
    options |= {"min_length": shortest, "max_length": max(options["max_length"], shortest)}
    task = DuplicateNgramConfig(ngram=ngram, **options)
    batch = draw_batch(task, 64)
    assert_laid_out(task, batch, answer_of=list)
    assert_solved(batch, copy)
    assert (batch.slices["ngram"] == ngram).all()
    for row, tokens in enumerate(batch.tokens.tolist()):
        string = tokens[1 : 1 + int(batch.slices["length"][row])]
        places = range(len(string) - ngram + 1)
        assert any(
            string[i : i + ngram] == string[j : j + ngram] for i in places for j in places if j >= i + ngram
        )


def test_pairs_of_places_are_equally_likely(draw_batch):
    """6 letters hold two 2-grams at (0, 2), (0, 3), (0, 4), (1, 3), (1, 4) and (2, 4)."""
    task = DuplicateNgramConfig(min_length=6, max_length=6, ngram=2, alphabet_size=2000)
    strings = draw_batch(task, 3000).tokens[:, 1:7]
    repeats = [(i, j) for i in range(5) for j in range(i + 2, 5)]
    found = np.array([[(row[i : i + 2] == row[j : j + 2]).all() for i, j in repeats] for row in strings])
    assert (found.sum(axis=1) == 1).mean() > 0.99, "letters seldom coincide by chance"
    assert np.abs(found.mean(axis=0) - 1 / 6).max() < 4.5 * np.sqrt(5 / 36 / 3000)


@pytest.mark.parametrize("config", [CopyConfig, ReverseConfig])
def test_lengths_and_letters_are_uniform(config, draw_batch):
    batch = draw_batch(config(min_length=3, max_length=6, alphabet_size=5), 4000)
    assert_lengths_are_uniform(batch, range(3, 7))
    letters = batch.tokens[:, 1:4].ravel()
    share = np.bincount(letters - FIRST_LETTER, minlength=5) / letters.size
    assert np.abs(share - 1 / 5).max() < 4.5 * np.sqrt(4 / 25 / letters.size)


def test_the_default_vocabulary_is_the_alphabet_and_four_marks():
    assert CopyConfig().vocab_size == 30


def test_longer_strings_are_tested_each_length_by_itself(draw_batch):
    task = CopyConfig(min_length=2, max_length=4, test_lengths=[4, 9])
    tests = task.test_tasks()
    assert tests == tuple(CopyConfig(min_length=length, max_length=length) for length in (4, 9))
    assert tests[1].slice_values == {"length": (9,)}
    assert tests[1].vocab_size == task.vocab_size
    batch = draw_batch(tests[1], 16)
    assert_laid_out(tests[1], batch, answer_of=list)
    assert_solved(batch, copy)


def test_without_test_lengths_the_test_is_as_the_training():
    assert CopyConfig().test_tasks() == (CopyConfig(),)


def test_a_list_of_test_lengths_is_the_same_config_as_a_tuple():
    assert CopyConfig(test_lengths=[4, 9]) == CopyConfig(test_lengths=(4, 9))
    assert hash(CopyConfig(test_lengths=[4, 9])) == hash(CopyConfig(test_lengths=(4, 9)))


def test_plain_copying_is_tested_on_duplicates():
    task = DuplicateNgramConfig(ngram=0, test_ngrams=[1, 3], test_lengths=[12, 20])
    tests = task.test_tasks()
    assert {(test.min_length, test.max_length, test.ngram) for test in tests} == {
        (length, length, ngram) for length in (12, 20) for ngram in (1, 3)
    }
    assert len(tests) == 4
    assert {tuple(test.slice_values) for test in tests} == {("length", "ngram")}
    plain = dataclasses.replace(task, ngram=2, test_ngrams=(), test_lengths=())
    assert plain.test_tasks() == (plain,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"min_length": 9, "max_length": 8},
            "task.max_length=8 must be at least task.min_length=9",
        ),
        ({"min_length": 0}, "task.min_length=0 must be a whole number of at least 1"),
        ({"max_length": -1}, "task.max_length=-1 must be a whole number of at least 1"),
        ({"alphabet_size": 0}, "task.alphabet_size=0 must be a whole number of at least 1"),
        ({"test_lengths": [30, 0]}, "task.test_lengths[1]=0 must be a whole number of at least 1"),
        ({"test_lengths": ["30"]}, "task.test_lengths[0]='30' must be a whole number of at least 1"),
        ({"test_lengths": 30}, "task.test_lengths=30 must be a list of whole numbers of at least 1"),
    ],
)
@pytest.mark.parametrize("config", [CopyConfig, ReverseConfig, DuplicateNgramConfig])
def test_impossible_options_are_refused(config, options, message):
    assert_refused(config, options, message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ngram": 6}, "task.min_length=10 must be at least 12 (twice the longest n-gram, 6)"),
        ({"test_ngrams": [6, 2]}, "task.min_length=10 must be at least 12 (twice the longest n-gram, 6)"),
        ({"test_lengths": [20, 5]}, "task.test_lengths[1]=5 must be at least 6 (twice the longest n-gram, 3)"),
        ({"ngram": -1}, "task.ngram=-1 must be a whole number of at least 0"),
        ({"test_ngrams": [1, -1]}, "task.test_ngrams[1]=-1 must be a whole number of at least 0"),
        ({"test_ngrams": 3}, "task.test_ngrams=3 must be a list of whole numbers of at least 0"),
    ],
)
def test_ngrams_that_do_not_fit_are_refused(options, message):
    assert_refused(DuplicateNgramConfig, options, message)
