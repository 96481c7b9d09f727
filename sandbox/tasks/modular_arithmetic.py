"""Modular arithmetic: the value of an expression, modulo 5.

Three numbers and two operators; `.` is not scored, and padding follows up to the longest expression:

    position               0    1    2    3    4    5
    token                  3    +    4    *    2    =
    target (`last`)        .    .    .    .    .    1
    target (`every`)       3    .    2    .    1    1

Multiplication comes first: 3 + 4 * 2 is 11, and 11 modulo 5 is 1. The tokens up to any
number are an expression too, with its own value.

With brackets (`brackets=true`) every operator has a pair of them:

    position               0    1    2    3    4    5    6    7    8
    token                  (    -    2    +    (    4    )    )    =
    target (`last`)        .    .    .    .    .    .    .    .    2

Sources: without brackets Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory" (arXiv 2405.04517), formal
languages; `experiments/data/formal_language/tasks/modular_arithmetic.py` of its code, tokens numbered as there.
With them Delétang et al. 2023, "Neural Networks and the Chomsky Hierarchy" (arXiv 2207.02098);
`tasks/dcf/modular_arithmetic_brackets.py` of its code, which has no multiplication (`task.multiplication=false`).
Lengths are of the expression, without "=". The state-tracking literature trains on up to 37 tokens and tests on up
to 253, for example `task.test_lengths=[37,63,127,253]`. Differences:

- without brackets, a target at every step as an option;
- with brackets, "=" ends the expression, as without them; expressions of Delétang et al. have none;
- accuracy is not rescaled to (accuracy - chance) / (1 - chance), with chance 1/5, as in the sources' tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_flag, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.expressions import (
    EQUALS,
    FIRST_NUMBER,
    PAD,
    PLUS,
    draw_bracketed,
    draw_flat,
    num_bracketed,
    opening,
    values,
)
from sandbox.tasks.parts.state_tracking import StateTrackingConfig, TargetAt
from sandbox.tasks.parts.zero_values import bracketed_zeros, flat_zeros
from sandbox.tasks.task import Example, TokenMeaning

LARGEST_MODULUS = 46340
"""Above it a product may not fit in 32 bits."""


@dataclass(unsafe_hash=True)
class ModularArithmeticConfig(StateTrackingConfig):
    """Values of expressions whose length is uniform over the possible ones in `min_length..max_length`."""

    modulus: int = 5
    """Numbers and values are 0 to modulus - 1."""
    brackets: bool = False
    """Whether every operator has its pair of brackets. Without them lengths are odd."""
    multiplication: bool = True
    """Whether * occurs, beside + and -."""
    min_length: int = 1
    """Tokens of the shortest expression."""
    max_length: int = 37
    """Tokens of the longest expression; a sequence also has "="."""
    target_at: TargetAt = TargetAt.last
    """Where a value is due: at the `last` token alone, which is "=", or at `every` number too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_number("task.modulus", self.modulus, least=2)
        if self.modulus > LARGEST_MODULUS:
            raise ValueError(f"task.modulus={self.modulus} must be at most {LARGEST_MODULUS}")
        for name in ("brackets", "multiplication"):
            check_flag(f"task.{name}", getattr(self, name))
        if self.brackets and self.target_at is TargetAt.every:
            raise ValueError(
                "task.target_at=every needs task.brackets=false: part of an expression in brackets has no value"
            )
        if not self.brackets:
            for i, length in enumerate(self.test_lengths):
                if length % 2 == 0:
                    raise ValueError(f"task.test_lengths[{i}]={length} must be odd with task.brackets=false")
            if not self.lengths:
                raise ValueError(
                    f"task.min_length={self.min_length}, task.max_length={self.max_length} must have an odd "
                    f"number between them with task.brackets=false"
                )

    @property
    def lengths(self) -> tuple[int, ...]:
        """Every length that occurs: all with brackets, odd ones without."""
        return tuple(length for length in super().lengths if self.brackets or length % 2)

    @property
    def vocab_size(self) -> int:
        return FIRST_NUMBER + self.modulus + (2 if self.brackets else 0)

    @property
    def max_len(self) -> int:
        return self.lengths[-1] + 1

    @property
    def num_scored(self) -> int:
        return 1 if self.target_at is TargetAt.last else self.max_len // 2 + 1

    def describe_token(self, token: int) -> TokenMeaning:
        if FIRST_NUMBER <= token < opening(self.modulus):
            return TokenMeaning("number", str(token - FIRST_NUMBER))
        if token >= opening(self.modulus):
            return TokenMeaning("bracket", "()"[token - opening(self.modulus)])
        return TokenMeaning("mark", "PAD") if token == PAD else TokenMeaning("operator", "+-*="[token - PLUS])

    @property
    def _num_operators(self) -> int:
        return 3 if self.multiplication else 2

    def num_sequences(self, length: int) -> int:
        if self.brackets:
            return num_bracketed(length, self.modulus, self._num_operators)
        numbers = (length + 1) // 2
        return self.modulus**numbers * self._num_operators ** (numbers - 1)

    def chance(self, slices: Mapping[str, int]) -> float:
        """The share of the value 0."""
        length = slices["length"]
        times = 1 / self._num_operators if self.multiplication else 0.0
        if self.brackets:
            return float(bracketed_zeros(length, self.modulus, times)[-1])
        zeros = flat_zeros((length + 1) // 2, self.modulus, times)
        if self.target_at is TargetAt.last:
            return float(zeros[-1])
        return float((zeros.sum() + zeros[-1]) / (len(zeros) + 1))  # "=" asks for the last value again

    def sample(self, key: PRNGKey) -> Example:
        length_key, expression_key = jax.random.split(key)
        length = self.draw_length(length_key)
        longest = self.lengths[-1]
        if self.brackets:
            expression = draw_bracketed(expression_key, length, longest, self.modulus, self._num_operators)
        else:
            expression = draw_flat(expression_key, longest, self.modulus, self._num_operators)
        time = jnp.arange(self.max_len, dtype=jnp.int32)
        tokens = jnp.where(time < length, jnp.append(expression, PAD), jnp.where(time == length, EQUALS, PAD))
        numbers = (length + 1) // 2
        step = jnp.arange(self.max_len // 2 + 1, dtype=jnp.int32)
        positions = jnp.where(step < numbers, 2 * step, length)
        max_depth = longest // 2 if self.brackets else 0
        states = FIRST_NUMBER + values(tokens, self.modulus, max_depth)[positions]
        return self.ask(tokens, positions, states, steps=numbers + 1, length=length)
