"""Lookup of n-grams: the answer follows the n-gram where it occurs in the string."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_lengths_are_uniform, assert_refused, assert_solved, scored, search

from sandbox.tasks.ngram_lookup import Key, NgramLookupConfig
from sandbox.tasks.parts.strings import BOS, EOS, FIRST_LETTER, PAD, SEP


@st.composite
def options(draw):
    ngram, answer_length = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    shortest = ngram + max(answer_length, 1) + draw(st.integers(0, 3))
    return {
        "ngram": ngram,
        "answer_length": answer_length,
        "min_length": shortest,
        "max_length": shortest + draw(st.integers(0, 8)),
        "alphabet_size": draw(st.sampled_from([1, 2, 5, 30])),
    }


def read(visible, task):
    """The string, the n-gram, and what has been shown of the answer."""
    separators = [i for i, token in enumerate(visible) if token == SEP]
    if task.key is Key.prefix:
        first, second = separators
        return visible[first + 1 : second], visible[1:first], visible[second + 1 :]
    after = separators[0] + 1
    return visible[1 : after - 1], visible[after : after + task.ngram], visible[after + task.ngram :]


def solver(task):
    def solve(visible):
        string, ngram, shown = read(visible, task)
        start = next(i for i in range(len(string)) if string[i : i + task.ngram] == ngram) + task.ngram
        answer = string[start : start + task.answer_length] if task.answer_length else string[start:]
        return [*answer, EOS][len(shown)]

    return solve


@pytest.mark.parametrize("key", Key)
@search(max_examples=2)
@given(options=options())
def test_the_answer_follows_the_ngram(key, options, draw_batch):
    task = NgramLookupConfig(key=key, **options)
    batch = draw_batch(task, 64)
    assert_solved(batch, solver(task))
    for row, tokens in enumerate(batch.tokens.tolist()):
        questions = scored(batch, row)
        answer = [target for _, target in questions[:-1]]
        assert len(answer) >= max(task.answer_length, 1)
        first, last = questions[0][0], questions[-1][0]
        assert [position for position, _ in questions] == list(range(first, last + 1))
        assert tokens[first + 1 : last + 1] == answer
        assert tokens[last + 1 :] == [PAD] * (task.max_len - last - 1)
        string, ngram, shown = read(tokens[: first + 1], task)
        assert tokens[0] == BOS
        assert (len(string), len(ngram), shown) == (batch.slices["length"][row], task.ngram, [])
        assert all(FIRST_LETTER <= letter < task.vocab_size for letter in string + ngram)


def test_the_ngram_occurs_once_where_any_does(draw_batch):
    task = NgramLookupConfig(min_length=4, max_length=12, alphabet_size=3, ngram=2, answer_length=1)
    batch = draw_batch(task, 512)
    unique = 0
    for row, tokens in enumerate(batch.tokens.tolist()):
        string, ngram, _ = read(tokens[: scored(batch, row)[0][0] + 1], task)
        ngrams = [tuple(string[i : i + 2]) for i in range(len(string) - 1)]
        counts = collections.Counter(ngrams)
        if any(counts[candidate] == 1 for candidate in ngrams[:-1]):
            assert counts[tuple(ngram)] == 1
            unique += 1
    assert unique > 400


def test_every_place_is_equally_likely(draw_batch):
    """7 letters hold a 3-gram and an answer of 2 at places 0, 1 and 2."""
    task = NgramLookupConfig(min_length=7, max_length=7, alphabet_size=2000, answer_length=2)
    batch = draw_batch(task, 3000)
    strings, ngrams = batch.tokens[:, 1:8], batch.tokens[:, 9:12]
    share = [np.mean((strings[:, i : i + 3] == ngrams).all(axis=1)) for i in range(5)]
    assert np.abs(np.array(share) - [1 / 3, 1 / 3, 1 / 3, 0, 0]).max() < 4.5 * np.sqrt(2 / 9 / 3000)


def test_lengths_are_uniform(draw_batch):
    assert_lengths_are_uniform(draw_batch(NgramLookupConfig(min_length=5, max_length=8), 2000), range(5, 9))


def test_longer_strings_are_tested():
    tests = NgramLookupConfig(test_lengths=[20, 40]).test_tasks()
    assert [test.slice_values for test in tests] == [{"length": (20,)}, {"length": (40,)}]


SIZES = "for task.ngram=3, task.answer_length=0"
REFUSALS = {
    f"task.min_length=3 must be at least 4 ({SIZES})": {"min_length": 3},
    f"task.test_lengths[1]=2 must be at least 4 ({SIZES})": {"test_lengths": [9, 2]},
    "task.min_length=5 must be at least 7 (for task.ngram=3, task.answer_length=4)": {"answer_length": 4},
    "task.ngram=0 must be a whole number of at least 1": {"ngram": 0},
    "task.answer_length=-1 must be a whole number of at least 0": {"answer_length": -1},
    "task.alphabet_size=0 must be a whole number of at least 1": {"alphabet_size": 0},
    "task.max_length=4 must be at least task.min_length=5": {"max_length": 4},
}


@pytest.mark.parametrize("message", REFUSALS)
def test_impossible_options_are_refused(message):
    assert_refused(NgramLookupConfig, REFUSALS[message], message)
