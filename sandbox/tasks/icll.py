"""In-context language learning: infer a language from a few of its strings, and continue in it.

Strings of an automaton that leaves its first state by a or b, and returns to it by c; `|` ends a string, `.` is
not scored, and padding follows:

    position   0    1    2    3    4    5    6    7    8
    token      a    c    b    |    b    c    |    a    |
    target     c    b    .    b    c    .    a    .    .
    legal      c   a,b   .   a,b   c    .   a,b   .    .

Each sequence has its own automaton, drawn at random: every state has 1 to `max_edges` edges, with different
symbols and to different other states. A string is a walk from the first state, with an edge drawn uniformly at
each step. Every next symbol but the first of the sequence is asked for; ends of strings are not. A model
can't know which edge is taken, so any symbol that the state has an edge for is right.

Source: Akyürek et al. 2024, "In-Context Language Learning: Architectures and Algorithms" (arXiv 2401.12973), the
data set RegBench; `src/dataloaders/dfa.py` of its code (berlino/seq_icl). Differences:

- strings have 1 to 12 symbols by default; those of RegBench have 1 to 49 (`task.max_length=49`);
- RegBench is configured for up to 4 edges, 20 strings and 50 symbols, but its draws exclude these limits; the
  defaults here are the numbers that it reaches;
- each example draws its own automaton; RegBench has 5000 for training and 500 others for tests;
- automata are not minimised, which changes neither the strings nor what is legal.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from sandbox.option_checks import check_needs, check_order, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.alphabet import mark_or_letter
from sandbox.tasks.parts.scoring import ask_where
from sandbox.tasks.parts.without_replacement import draw_among
from sandbox.tasks.task import Example, TaskConfig, TokenMeaning

PAD, END = range(2)
FIRST_SYMBOL = 2


class Automaton(NamedTuple):
    """The edges of each state, of which the first `num_edges` are used."""

    num_states: Int[Array, ""]
    num_edges: Int[Array, "Q"]
    symbols: Int[Array, "Q E"]
    next_states: Int[Array, "Q E"]


@dataclass(unsafe_hash=True)
class ICLLConfig(TaskConfig):
    """Strings of a random automaton; numbers of states, symbols and strings are drawn uniformly."""

    one_answer: ClassVar[bool] = False

    num_symbols: int = 18
    """Number of symbols; the vocabulary adds padding and the end of a string."""
    min_symbols: int = 4
    """Smallest number of symbols that a sequence's automaton may use; the largest is `num_symbols`."""
    min_states: int = 4
    """States of the smallest automaton, more than `max_edges`."""
    max_states: int = 12
    """States of the largest automaton."""
    max_edges: int = 3
    """Largest number of edges of a state."""
    min_strings: int = 10
    """Smallest number of strings of a sequence."""
    max_strings: int = 19
    """Largest number of strings of a sequence."""
    max_length: int = 12
    """Symbols of the longest string; the shortest have 1."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_whole_number(f"task.{field.name}", getattr(self, field.name), least=1)
        for smaller, larger in (
            ("min_states", "max_states"),
            ("min_strings", "max_strings"),
            ("min_symbols", "num_symbols"),
            ("max_edges", "min_symbols"),
        ):
            check_order(f"task.{smaller}", getattr(self, smaller), f"task.{larger}", getattr(self, larger))
        check_needs(f"task.max_edges={self.max_edges}", "task.min_states", self.min_states, self.max_edges + 1)
        if self.max_strings * self.max_length < 2:
            raise ValueError("task.max_strings=1, task.max_length=1 leave nothing to ask")

    @property
    def vocab_size(self) -> int:
        return FIRST_SYMBOL + self.num_symbols

    @property
    def max_len(self) -> int:
        return self.max_strings * (self.max_length + 1)

    @property
    def num_scored(self) -> int:
        return self.max_strings * self.max_length - 1

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        return {
            "states": tuple(range(self.min_states, self.max_states + 1)),
            "strings": tuple(range(self.min_strings, self.max_strings + 1)),
        }

    def describe_token(self, token: int) -> TokenMeaning:
        return mark_or_letter(token, marks=("PAD", "|"), kind="symbol")

    def chance(self, slices: Mapping[str, int]) -> float:
        """The mean number of edges over that of symbols.

        This neglects that a walk comes back a little more often to states with fewer edges: at the defaults it is
        0.111, and 0.110 was measured.
        """
        return (1 + self.max_edges) / 2 / self.num_symbols

    def sample(self, key: PRNGKey) -> Example:
        automaton_key, count_key, lengths_key, walks_key = jax.random.split(key, 4)
        automaton = self._draw_automaton(automaton_key)
        num_strings = jax.random.randint(count_key, (), self.min_strings, self.max_strings + 1, dtype=jnp.int32)
        lengths = jax.random.randint(lengths_key, (self.max_strings,), 1, self.max_length + 1, dtype=jnp.int32)
        states, symbols = self._walk(walks_key, automaton)

        # One line for each string, with an entry for each of its symbols and one for its end.
        string = jnp.arange(self.max_strings)[:, None]
        index = jnp.arange(self.max_length + 1)[None, :]
        lengths = jnp.where(string < num_strings, lengths[:, None], -1)
        starts = jnp.cumsum(lengths + 1, axis=0) - (lengths + 1)
        position = jnp.where(index <= lengths, starts + index, self.max_len)

        def write(lines: Int[Array, "S C"]) -> Int[Array, "T"]:
            return jnp.zeros(self.max_len, dtype=jnp.int32).at[position].set(lines, mode="drop")

        tokens = write(jnp.where(index == lengths, END, jnp.pad(symbols, ((0, 0), (0, 1)))))
        state_before = write(jnp.pad(states, ((0, 0), (0, 1))))

        next_tokens = jnp.append(tokens[1:], PAD)
        slices = {"states": automaton.num_states, "strings": num_strings}
        example = ask_where(next_tokens >= FIRST_SYMBOL, next_tokens, self.num_scored, tokens, slices)
        legal = self._legal(automaton)[state_before[example.positions + 1]]
        return example._replace(legal=legal & (example.weights[:, None] == 1))

    def _draw_automaton(self, key: PRNGKey) -> Automaton:
        states_key, alphabet_key, edges_key, symbols_key, next_key = jax.random.split(key, 5)
        num_states = jax.random.randint(states_key, (), self.min_states, self.max_states + 1, dtype=jnp.int32)
        num_edges = jax.random.randint(edges_key, (self.max_states,), 1, self.max_edges + 1, dtype=jnp.int32)

        size_key, order_key = jax.random.split(alphabet_key)
        alphabet_size = jax.random.randint(size_key, (), self.min_symbols, self.num_symbols + 1, dtype=jnp.int32)
        rank = jax.random.permutation(order_key, self.num_symbols)
        in_alphabet = jnp.broadcast_to(rank < alphabet_size, (self.max_states, self.num_symbols))

        state = jnp.arange(self.max_states)
        reachable = (state[None, :] != state[:, None]) & (state < num_states)[None, :]
        return Automaton(
            num_states,
            num_edges,
            symbols=FIRST_SYMBOL + self._choose(symbols_key, in_alphabet),
            next_states=self._choose(next_key, reachable),
        )

    def _choose(self, key: PRNGKey, allowed: Bool[Array, "Q n"]) -> Int[Array, "Q E"]:
        keys = jax.random.split(key, self.max_states)
        return jax.vmap(lambda key, allowed: draw_among(key, allowed, self.max_edges))(keys, allowed)

    def _walk(self, key: PRNGKey, automaton: Automaton) -> tuple[Int[Array, "S L"], Int[Array, "S L"]]:
        shape = (self.max_length, self.max_strings)
        fractions = jax.random.uniform(key, shape)

        def step(state: Int[Array, "S"], fraction):
            edge = (fraction * automaton.num_edges[state]).astype(jnp.int32)
            return automaton.next_states[state, edge], (state, automaton.symbols[state, edge])

        start = jnp.zeros(self.max_strings, dtype=jnp.int32)
        _, (states, symbols) = jax.lax.scan(step, start, fractions)
        return states.T, symbols.T

    def _legal(self, automaton: Automaton) -> Bool[Array, "Q N"]:
        used = jnp.arange(self.max_edges)[None, :] < automaton.num_edges[:, None]
        is_symbol = automaton.symbols[:, :, None] == jnp.arange(self.vocab_size)[None, None, :]
        return jnp.any(is_symbol & used[:, :, None], axis=1)
