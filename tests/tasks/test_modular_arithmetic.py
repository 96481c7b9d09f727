"""Values of expressions, against Python's own arithmetic."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solving import assert_lengths_are_uniform, assert_refused, assert_solved, scored, search

from sandbox.tasks.modular_arithmetic import ModularArithmeticConfig
from sandbox.tasks.parts.expressions import EQUALS, FIRST_NUMBER, PAD, TIMES
from sandbox.tasks.parts.state_tracking import TargetAt


def write(tokens, task):
    """The expression as a person writes it."""
    return "".join(task.describe_token(token).name for token in tokens if token not in (EQUALS, PAD))


def solver(task):
    return lambda visible: FIRST_NUMBER + eval(write(visible, task)) % task.modulus


def parse(text):
    """Where the expression that `text` begins with ends; fails where it is not one of the definition's."""
    if text[0] == "-":
        assert text[1].isdigit()
        return 2
    if text[0].isdigit():
        return 1
    assert text[0] == "("
    end = 1 + parse(text[1:])
    if text[end] in "+-*":
        end += 1 + parse(text[end + 1 :])
    else:
        assert end <= 3, "only a number and a negative one have brackets of their own"
    assert text[end] == ")"
    return end + 1


@st.composite
def options(draw):
    shortest = draw(st.integers(1, 8))
    return {
        "min_length": shortest,
        "max_length": shortest + draw(st.integers(1, 12)),
        "modulus": draw(st.integers(2, 9)),
        "multiplication": draw(st.booleans()),
    }


def assert_laid_out(task, batch):
    for row, tokens in enumerate(batch.tokens.tolist()):
        length = int(batch.slices["length"][row])
        assert task.min_length <= length <= task.max_length
        assert tokens.index(EQUALS) == length
        assert tokens[length + 1 :] == [PAD] * (task.max_len - length - 1)
        assert task.multiplication or TIMES not in tokens
        numbers = range(0, length, 2) if task.target_at is TargetAt.every else []
        assert [position for position, _ in scored(batch, row)] == [*numbers, length]


@pytest.mark.parametrize("target_at", TargetAt)
@search(max_examples=3)
@given(options=options())
def test_the_target_is_the_value_so_far(target_at, options, draw_batch):
    task = ModularArithmeticConfig(target_at=target_at, **options)
    batch = draw_batch(task, 64)
    assert_laid_out(task, batch)
    assert_solved(batch, solver(task))
    for row, tokens in enumerate(batch.tokens.tolist()):
        expression = write(tokens, task)
        assert expression[::2].isdigit()
        assert len(expression) == 1 or set(expression[1::2]) <= set("+-*")
        assert len(expression) == batch.slices["length"][row]


@pytest.mark.slow(seconds=4)
@search(max_examples=3)
@given(options=options())
def test_the_value_of_an_expression_in_brackets(options, draw_batch):
    task = ModularArithmeticConfig(brackets=True, **options)
    batch = draw_batch(task, 64)
    assert_laid_out(task, batch)
    assert_solved(batch, solver(task))
    for row, tokens in enumerate(batch.tokens.tolist()):
        expression = write(tokens, task)
        assert parse(expression) == len(expression) == batch.slices["length"][row]


def test_deep_brackets_are_evaluated(draw_batch):
    task = ModularArithmeticConfig(brackets=True, min_length=60, max_length=61)
    batch = draw_batch(task, 256)
    assert_solved(batch, solver(task))
    texts = [write(tokens, task) for tokens in batch.tokens.tolist()]
    assert max(text.count("(((") for text in texts) > 0


def test_splits_numbers_and_operators_are_uniform(draw_samples):
    """Of 7 tokens, the left part of (left operator right) has 1, 2 or 3."""
    task = ModularArithmeticConfig(brackets=True, min_length=7, max_length=7)
    texts = [write(tokens, task) for tokens in draw_samples(task, 3000).tokens.tolist()]
    left = np.bincount([parse(text[1:]) for text in texts], minlength=4) / 3000
    assert np.abs(left - [0, 1 / 3, 1 / 3, 1 / 3]).max() < 4.5 * np.sqrt(2 / 9 / 3000)
    operators = collections.Counter(text[1 + parse(text[1:])] for text in texts)
    assert all(abs(operators[operator] / 3000 - 1 / 3) < 4.5 * np.sqrt(2 / 9 / 3000) for operator in "+-*")
    numbers = [int(letter) for text in texts for letter in text if letter.isdigit()]
    share = np.bincount(numbers, minlength=5) / len(numbers)
    assert np.abs(share - 1 / 5).max() < 4.5 * np.sqrt(4 / 25 / len(numbers))


def test_lengths_are_uniform(draw_samples):
    assert_lengths_are_uniform(draw_samples(ModularArithmeticConfig(min_length=2, max_length=8), 2000), (3, 5, 7))
    task = ModularArithmeticConfig(min_length=2, max_length=5, brackets=True)
    assert_lengths_are_uniform(draw_samples(task, 2000), (2, 3, 4, 5))


def test_numbers_have_the_tokens_of_the_source():
    task = ModularArithmeticConfig()
    assert task.vocab_size == 10
    assert [task.describe_token(token).name for token in range(10)] == ["PAD", *"+-*=01234"]
    assert ModularArithmeticConfig(brackets=True).vocab_size == 12


def test_longer_expressions_are_tested():
    tests = ModularArithmeticConfig(test_lengths=[37, 63]).test_tasks()
    assert [(test.max_len, test.slice_values) for test in tests] == [
        (38, {"length": (37,)}),
        (64, {"length": (63,)}),
    ]


REFUSALS = {
    "task.modulus=1 must be a whole number of at least 2": {"modulus": 1},
    "task.modulus=46341 must be at most 46340": {"modulus": 46341},
    "task.min_length=0 must be a whole number of at least 1": {"min_length": 0},
    "task.target_at=every needs task.brackets=false: part of an expression in brackets has no value": {
        "brackets": True,
        "target_at": TargetAt.every,
    },
    "task.test_lengths[1]=40 must be odd with task.brackets=false": {"test_lengths": [37, 40]},
    "task.min_length=4, task.max_length=4 must have an odd number between them with task.brackets=false": {
        "min_length": 4,
        "max_length": 4,
    },
}


@pytest.mark.parametrize("message", REFUSALS)
def test_impossible_options_are_refused(message):
    assert_refused(ModularArithmeticConfig, REFUSALS[message], message)
