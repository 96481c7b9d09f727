"""Tasks against solvers in plain Python, which read no more than a model may: the tokens up to the question."""

import functools

import pytest
from hypothesis import Phase, settings

# A failing task is reported as found: each step of shrinking it would compile another program.
search = functools.partial(settings, deadline=None, derandomize=True, phases=[Phase.generate])


def scored(batch, row):
    """The questions of one sequence: pairs of a position and its target."""
    used = batch.weights[row] == 1
    return list(zip(batch.positions[row, used].tolist(), batch.targets[row, used].tolist(), strict=True))


def assert_solved(batch, solve):
    """Every answer follows from the tokens up to its question."""
    for row, tokens in enumerate(batch.tokens.tolist()):
        for position, target in scored(batch, row):
            assert solve(tokens[: position + 1]) == target, (tokens, position)


def assert_lengths_are_uniform(batch, lengths):
    """Every length occurs, and none more often than it should."""
    drawn = batch.slices["length"].tolist()
    assert set(drawn) == set(lengths)
    share = 1 / len(lengths)
    deviation = 4.5 * (share * (1 - share) / len(drawn)) ** 0.5
    assert all(abs(drawn.count(length) / len(drawn) - share) < deviation for length in lengths)


def assert_refused(config, options, message):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        config(**options)
    assert str(refusal.value) == message
