"""Selective tracking of a grammar's state, through gaps that must be ignored, as in SelectivBench.

A walk of 6 elements with gaps of up to two tokens, `gap=blank`, written by names; `.` is not scored:

    position    0    1    2    3    4    5    6    7    8    9   10   11   12   13   14
    token       c    _    _    f    _    f    _    _    #    _    a    _    f    _    _
    target      .    .  c.2    .  f.1    .    .  f.0    .    #    .  a.1    .    .  f.2

A grammar, the same for all sequences, has several states for each symbol. Which symbols may follow, and in which
of their states, depends on the state; so the state follows from all symbols since the string began, and not from
the last one. A walk takes one of the possible next states, all equally likely; after the end of a string, `#`,
another one begins. After each element comes a gap with probability `gap_share`: blanks, or with `gap=violating`
symbols that the grammar forbids after this state, which only a model that knows the state can tell from others.
The state is asked for at the end of the gap.

Source: Bouhadjar et al. 2026, "Dissecting Linear Recurrent Models: How Different Gating Strategies Drive
Selectivity and Generalization" (arXiv 2601.12598), SelectivBench; its code is symseqbench/selectivbench. All four
of its tasks have `task.elements=200` and 40 symbols with 40 states each, the first also fewer of both, from 20 on:

- 1: `task.min_gap=1 task.max_gap=1`;
- 2: `task.min_gap=1 task.max_gap=10 task.test_gaps=[10]`;
- 3: `task.gap=violating task.min_gap=1 task.max_gap=1 task.gap_share=0.1 task.gap_start=50`;
- 4: as 2, with `task.test_gaps=[10,20,50,100]`.

Differences:

- there are no inputs but tokens, and so not the noise that 2 and 4 add to one-hot inputs;
- the loss there is at every position, and accuracy that of the prediction summed over an element and its gap;
- strings begin with different symbols, and after `#` no violation is one of them, so that all can be answered;
  there two beginnings may be alike, and every symbol violates after `#`;
- lengths of gaps are uniform; there the largest and smallest are half as likely as the others;
- a string that is longer than a sequence is cut off; there it is drawn anew.
"""

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sandbox.option_checks import (
    check_at_most,
    check_choice,
    check_order,
    check_positive_number,
    check_whole_number,
    check_whole_numbers,
)
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.alphabet import mark_or_letter
from sandbox.tasks.parts.grammars import END, Grammar, draw_grammar, draw_successors
from sandbox.tasks.task import Example, TaskConfig, TokenMeaning

PAD, BLANK, FIRST_SYMBOL = range(3)
MARKS = ("PAD", "_", "#")


class Gap(enum.Enum):
    """What stands in a gap."""

    blank = "blank"
    """A token for nothing."""
    violating = "violating"
    """Symbols that may not follow the state."""


@dataclass(unsafe_hash=True)
class SelectivConfig(TaskConfig):
    """The state of a grammar after each of a fixed number of elements."""

    num_symbols: int = 6
    """Number of symbols, besides the end of a string."""
    states_per_symbol: int = 3
    """Number of states of each symbol; the vocabulary has all of them, as answers."""
    num_starts: int = 4
    """Number of states that begin a string, of different symbols."""
    grammar_seed: int = 0
    """The grammar, which is drawn from this number alone."""
    elements: int = 32
    """Symbols of a sequence that are no gaps, ends of strings included."""
    gap: Gap = Gap.blank
    """What stands in a gap: `blank` or `violating`."""
    min_gap: int = 1
    """Tokens of the shortest gap."""
    max_gap: int = 4
    """Tokens of the longest gap."""
    gap_share: float = 1.0
    """The probability of a gap after an element."""
    gap_start: int = 0
    """Elements before the first that may have a gap."""
    test_gaps: Any = ()
    """Lengths of gaps that are tested, each by itself (list of int). None given: tested as trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_symbols", "states_per_symbol", "num_starts", "elements"):
            check_whole_number(f"task.{name}", getattr(self, name), least=1)
        for name in ("grammar_seed", "min_gap", "max_gap", "gap_start"):
            check_whole_number(f"task.{name}", getattr(self, name), least=0)
        check_whole_numbers("task.test_gaps", self.test_gaps, least=0)
        check_order("task.min_gap", self.min_gap, "task.max_gap", self.max_gap)
        if self.gap_start >= self.elements:
            raise ValueError(f"task.gap_start={self.gap_start} leaves no gap in task.elements={self.elements}")
        check_order("task.num_starts", self.num_starts, "task.num_symbols", self.num_symbols)
        check_choice("task.gap", self.gap, Gap)
        check_positive_number("task.gap_share", self.gap_share)
        check_at_most("task.gap_share", self.gap_share, 1)
        self.gap_share = float(self.gap_share)
        if draw_successors(*self._grammar_options) is None:
            sizes = f"task.num_symbols={self.num_symbols}, task.states_per_symbol={self.states_per_symbol}"
            raise ValueError(f"{sizes}: no grammar found whose states can all end; more symbols make it likelier")

    @property
    def _grammar_options(self) -> tuple[int, int, int, int]:
        return self.num_symbols, self.states_per_symbol, self.num_starts, self.grammar_seed

    @property
    def grammar(self) -> Grammar:
        """The grammar of all sequences."""
        return draw_grammar(*self._grammar_options)

    @property
    def first_state(self) -> int:
        """States but the end are the tokens from this one on."""
        return FIRST_SYMBOL + 1 + self.num_symbols

    @property
    def vocab_size(self) -> int:
        return self.first_state + self.num_symbols * self.states_per_symbol

    @property
    def max_len(self) -> int:
        return self.elements * (1 + self.max_gap)

    @property
    def num_scored(self) -> int:
        return self.elements

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        """`gap` is the length of the longest gaps."""
        return {"gap": (self.max_gap,)}

    def test_tasks(self) -> tuple[TaskConfig, ...]:
        """One task for each tested length of gaps; without any, tested as trained."""
        return tuple(
            dataclasses.replace(self, min_gap=gap, max_gap=gap, test_gaps=()) for gap in self.test_gaps
        ) or (self,)

    def chance(self, slices: Mapping[str, int]) -> float:
        """The share of the most frequent state."""
        return float(self.grammar.occupancy(self.elements).max())

    def describe_token(self, token: int) -> TokenMeaning:
        if token < self.first_state:
            return mark_or_letter(token, MARKS, kind="symbol")
        symbol, number = divmod(token - self.first_state, self.states_per_symbol)
        return TokenMeaning("state", f"{self.describe_token(FIRST_SYMBOL + 1 + symbol).name}.{number}")

    def sample(self, key: PRNGKey) -> Example:
        walk_key, share_key, gaps_key, violations_key = jax.random.split(key, 4)
        states = self._walk(jax.random.uniform(walk_key, (self.elements,)))
        symbols = FIRST_SYMBOL + jnp.array(self.grammar.symbols, dtype=jnp.int32)[states]
        element = jnp.arange(self.elements)
        gaps = jax.random.randint(gaps_key, element.shape, self.min_gap, self.max_gap + 1, dtype=jnp.int32)
        has_gap = jax.random.bernoulli(share_key, self.gap_share, element.shape) & (element >= self.gap_start)
        gaps = jnp.where(has_gap, gaps, 0)
        fractions = jax.random.uniform(violations_key, (self.elements, self.max_gap))

        # One line for each element, with its symbol and then its gap.
        lines = jnp.append(symbols[:, None], self._gap_tokens(states, fractions), axis=1)
        index = jnp.arange(1 + self.max_gap)[None, :]
        ends = jnp.cumsum(1 + gaps) - 1
        position = jnp.where(index <= gaps[:, None], (ends - gaps)[:, None] + index, self.max_len)
        return Example(
            tokens=jnp.full(self.max_len, PAD, dtype=jnp.int32).at[position].set(lines, mode="drop"),
            positions=ends,
            targets=jnp.where(states == END, FIRST_SYMBOL, self.first_state + states - 1),
            weights=jnp.ones(self.elements),
            slices={"gap": jnp.int32(self.max_gap)},
        )

    def _walk(self, fractions: Float[Array, "S"]) -> Int[Array, "S"]:
        """The states of a walk that begins a string; a fraction says which of the possible ones comes next."""
        next_states = jnp.array(self.grammar.next_states, dtype=jnp.int32)
        num_next = jnp.array(self.grammar.num_next, dtype=jnp.int32)

        def step(state: Int[Array, ""], fraction: Float[Array, ""]):
            state = next_states[state, (fraction * num_next[state]).astype(jnp.int32)]
            return state, state

        return jax.lax.scan(step, jnp.int32(END), fractions)[1]

    def _gap_tokens(self, states: Int[Array, "S"], fractions: Float[Array, "S G"]) -> Int[Array, "S G"]:
        """What the longest gap after each state has."""
        if self.gap is Gap.blank:
            return jnp.full(fractions.shape, BLANK)
        violations = jnp.array(self.grammar.violations, dtype=jnp.int32)
        num_violations = jnp.array(self.grammar.num_violations, dtype=jnp.int32)
        choice = (fractions * num_violations[states][:, None]).astype(jnp.int32)
        return FIRST_SYMBOL + violations[states[:, None], choice]
