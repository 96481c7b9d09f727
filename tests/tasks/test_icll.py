"""Strings of random automata: legal symbols are those of one automaton, which explains the whole sequence."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_refused, scored, search

from sandbox.tasks.icll import END, FIRST_SYMBOL, PAD, ICLLConfig


@st.composite
def options(draw):
    max_edges = draw(st.integers(1, 4))
    min_symbols, min_states = max_edges + draw(st.integers(0, 2)), max_edges + draw(st.integers(1, 3))
    min_strings = draw(st.integers(1, 4))
    return {
        "max_edges": max_edges,
        "min_symbols": min_symbols,
        "num_symbols": min_symbols + draw(st.integers(0, 8)),
        "min_states": min_states,
        "max_states": min_states + draw(st.integers(0, 4)),
        "min_strings": min_strings,
        "max_strings": min_strings + draw(st.integers(0, 6)),
        "max_length": draw(st.integers(2, 7)),
    }


def beginning(visible):
    """What has been read of the current string."""
    ends = [i for i, token in enumerate(visible) if token == END]
    return tuple(visible[ends[-1] + 1 :] if ends else visible)


def solve(visible):
    """A symbol that has followed the same beginning before, if any has."""
    text = list(visible)
    strings = [tuple(part) for is_end, part in itertools.groupby(text, lambda token: token == END) if not is_end]
    begun = beginning(visible)
    if begun:
        strings = strings[:-1]
    followed = [
        string[len(begun)] for string in strings if len(string) > len(begun) and string[: len(begun)] == begun
    ]
    return followed[-1] if followed else None


@pytest.mark.slow(seconds=6)
@search(max_examples=3)
@given(options=options())
def test_one_automaton_explains_a_sequence(options, draw_batch):
    task = ICLLConfig(**options)
    batch = draw_batch(task, 32)
    for row, tokens in enumerate(batch.tokens.tolist()):
        questions = scored(batch, row)
        length = max(i for i, token in enumerate(tokens) if token != PAD) + 1
        assert tokens[length:] == [PAD] * (task.max_len - length)
        strings = [
            list(part) for is_end, part in itertools.groupby(tokens[:length], lambda t: t == END) if not is_end
        ]
        assert tokens[:length] == [token for string in strings for token in [*string, END]]
        assert len(strings) == batch.slices["strings"][row]
        assert task.min_strings <= len(strings) <= task.max_strings
        assert all(len(string) <= task.max_length for string in strings)

        symbols = [i for i in range(1, length) if tokens[i] != END]
        assert questions == [(i - 1, tokens[i]) for i in symbols], "each next symbol is asked, ends are not"
        legal_after: dict[tuple[int, ...], set[int]] = {}
        for (position, target), allowed in zip(questions, batch.legal[row], strict=False):
            legal = set(np.flatnonzero(allowed).tolist())
            assert target in legal
            assert 1 <= len(legal) <= task.max_edges
            assert all(FIRST_SYMBOL <= symbol < task.vocab_size for symbol in legal)
            answer = solve(tokens[: position + 1])
            assert answer is None or answer in legal
            assert legal_after.setdefault(beginning(tokens[: position + 1]), legal) == legal
        assert len(set(map(frozenset, legal_after.values()))) <= batch.slices["states"][row]
        assert len(set().union(*legal_after.values())) <= task.num_symbols
        assert not batch.legal[row, len(questions) :].any()


def test_beginnings_that_came_before_are_solved(draw_batch):
    """In most places of a long sequence, a model can know the answer."""
    batch = draw_batch(ICLLConfig(min_strings=19), 64)
    solved = [
        solve(tokens[: position + 1]) is not None
        for row, tokens in enumerate(batch.tokens.tolist())
        for position, _ in scored(batch, row)
    ]
    assert np.mean(solved) > 0.5


@pytest.mark.slow(seconds=4)
def test_edges_strings_and_lengths_are_uniform(draw_batch):
    task = ICLLConfig(max_length=3, min_strings=4, max_strings=6, max_states=5)
    batch = draw_batch(task, 3000)
    after_first_end = [row.tolist().index(END) for row in batch.tokens]
    lengths = np.bincount(after_first_end, minlength=4) / 3000
    assert np.abs(lengths - [0, 1 / 3, 1 / 3, 1 / 3]).max() < 4.5 * np.sqrt(2 / 9 / 3000)
    strings = np.bincount(batch.slices["strings"], minlength=7)[4:] / 3000
    assert np.abs(strings - 1 / 3).max() < 4.5 * np.sqrt(2 / 9 / 3000)
    states = np.bincount(batch.slices["states"], minlength=6)[4:] / 3000
    assert np.abs(states - 1 / 2).max() < 4.5 * np.sqrt(1 / 4 / 3000)

    question = [
        int(np.flatnonzero(row == end)[0]) for row, end in zip(batch.positions, after_first_end, strict=True)
    ]
    legal = batch.legal[np.arange(3000), question]
    edges = np.bincount(legal.sum(axis=1), minlength=4) / 3000
    assert np.abs(edges - [0, 1 / 3, 1 / 3, 1 / 3]).max() < 4.5 * np.sqrt(2 / 9 / 3000)
    target = batch.targets[np.arange(3000), question]
    two = legal.sum(axis=1) == 2
    first_of_two = target[two] == legal[two].argmax(axis=1)
    assert abs(first_of_two.mean() - 1 / 2) < 4.5 * np.sqrt(1 / 4 / two.sum())


def test_edges_lead_to_other_states(draw_batch):
    """With 1 edge a walk over 2 states alternates between 2 symbols or repeats one."""
    task = ICLLConfig(max_edges=1, min_states=2, max_states=2, max_length=6, min_symbols=10, num_symbols=10)
    batch = draw_batch(task, 256)
    longest = batch.tokens[(batch.tokens[:, :6] >= FIRST_SYMBOL).all(axis=1), :6]
    assert len(longest) > 10
    assert (longest[:, :4] == longest[:, 2:]).all()
    assert np.mean(longest[:, 0] != longest[:, 1]) > 0.7


REFUSALS = {
    "task.max_edges=3 needs task.min_states of at least 4, got task.min_states=3": {"min_states": 3},
    "task.max_states=3 must be at least task.min_states=4": {"max_states": 3},
    "task.max_strings=9 must be at least task.min_strings=10": {"max_strings": 9},
    "task.num_symbols=3 must be at least task.min_symbols=4": {"num_symbols": 3},
    "task.min_symbols=2 must be at least task.max_edges=3": {"min_symbols": 2},
    "task.max_length=0 must be a whole number of at least 1": {"max_length": 0},
    "task.max_edges=0 must be a whole number of at least 1": {"max_edges": 0},
    "task.max_strings=1, task.max_length=1 leave nothing to ask": {
        "min_strings": 1,
        "max_strings": 1,
        "max_length": 1,
    },
}


@pytest.mark.parametrize("message", REFUSALS)
def test_impossible_options_are_refused(message):
    assert_refused(ICLLConfig, REFUSALS[message], message)
