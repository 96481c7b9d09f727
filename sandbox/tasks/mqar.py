"""Multi-query associative recall: read key-value pairs, then name the value of each key that comes back.

Two pairs in 12 tokens, vocabulary 16 (keys 1..7, values 8..15), filler `zeros`; `.` is not scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11
    token      5  12   3   9   5   0   0   0   3   0   0   0
    target     .   .   .   .  12   .   .   .   9   .   .   .

The context lists the pairs; queries follow at even offsets, mostly soon after the context. The answer is due
at the query itself and is never shown, so the token after a query is filler.

Source: Arora et al. 2023, "Zoology: Measuring and Improving Recall in Efficient Language Models" (arXiv
2312.04927), the synthetic MQAR data; `zoology/data/multiquery_ar.py`. The distribution is that of Zoology's
code, with these differences:

- one data set may mix several difficulties, drawn at random for each example; Zoology takes them in turn;
- the filler comes from the example's own key; Zoology's from a global generator that its seed does not set;
- the vocabulary need only hold the keys and values; Zoology also wants it larger than the sequence.
"""

import enum
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.shapes import PRNGKey
from sandbox.tasks.option_checks import check_choice, check_positive_number, check_whole_number
from sandbox.tasks.task import Example, TaskConfig
from sandbox.tasks.without_replacement import draw_uniform, draw_weighted


class Filler(enum.Enum):
    """What stands between the queries."""

    zeros = "zeros"
    """Token 0: the setting of Zoology's published figure 2."""
    random = "random"
    """Tokens uniform over the whole vocabulary, keys and values of the sequence included, never scored: the
    default of Zoology's code."""


class Difficulty(NamedTuple):
    """One part of the mixture."""

    length: int
    pairs: int
    weight: float


@dataclass(unsafe_hash=True)
class MQARConfig(TaskConfig):
    """Multi-query associative recall over a mixture of difficulties.

    `length`, `pairs` and `weights` each take one number or a list. Lists have equal lengths, an entry per
    difficulty; a number holds for all difficulties.
    """

    vocab_size: int = 256
    """Number of tokens: 0 is padding and filler, keys are the rest of the lower half, values the upper."""
    length: Any = 64
    """Tokens of a sequence (int or list of int): even, at least 4 per pair. Shorter ones are padded."""
    pairs: Any = (4, 8, 16)
    """Key-value pairs of a sequence (int or list of int), each of which is queried once."""
    weights: Any = 1
    """Relative frequency of each difficulty (positive number or list of them), in any unit. One number: all
    are equally frequent."""
    power_a: float = 0.01
    """Concentration of queries after the context: slot i (from 0) is drawn in proportion to
    (i+1)^(power_a-1). Small values ask soon, 1 asks uniformly."""
    filler: Filler = Filler.zeros
    """What stands between the queries: `zeros`, or `random` tokens."""

    def __post_init__(self) -> None:
        check_whole_number("vocab_size", self.vocab_size, minimum=4)
        self.length = _tuple_if_list(self.length)
        self.pairs = _tuple_if_list(self.pairs)
        self.weights = _tuple_if_list(self.weights)
        for name, value in _entries("length", self.length):
            check_whole_number(name, value, minimum=4)
        for name, value in _entries("pairs", self.pairs):
            check_whole_number(name, value, minimum=1)
        for name, value in _entries("weights", self.weights):
            check_positive_number(name, value)
        check_positive_number("power_a", self.power_a)
        self.power_a = float(self.power_a)
        check_choice("filler", self.filler, Filler)

        lists = {name: getattr(self, name) for name in ("length", "pairs", "weights")}
        lists = {name: value for name, value in lists.items() if isinstance(value, tuple)}
        if len({len(value) for value in lists.values()}) > 1 or () in lists.values():
            given = ", ".join(f"task.{name}={list(value)}" for name, value in lists.items())
            raise ValueError(f"{given} must have equally many entries, at least one; a number holds for all")
        for length, pairs, _ in self.mixture:
            if length % 2:
                raise ValueError(f"task.length={length} must be even")
            if 4 * pairs > length:
                raise ValueError(
                    f"task.pairs={pairs} needs task.length >= {4 * pairs} (4 x pairs), got task.length={length}"
                )
            if pairs > self._num_keys:
                raise ValueError(
                    f"task.pairs={pairs} needs task.vocab_size >= {2 * pairs + 2} (2 x pairs + 2), "
                    f"got task.vocab_size={self.vocab_size}"
                )

    @property
    def mixture(self) -> tuple[Difficulty, ...]:
        """The difficulties, numbers repeated to the length of the lists."""
        columns = (self.length, self.pairs, self.weights)
        count = max(len(column) if isinstance(column, tuple) else 1 for column in columns)
        rows = zip(*(c if isinstance(c, tuple) else (c,) * count for c in columns), strict=True)
        return tuple(Difficulty(*row) for row in rows)

    @property
    def max_len(self) -> int:
        """T: the longest length."""
        return max(difficulty.length for difficulty in self.mixture)

    @property
    def num_scored(self) -> int:
        """M: the largest number of pairs."""
        return max(difficulty.pairs for difficulty in self.mixture)

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        """The different numbers of pairs, and the different lengths."""
        return {
            "length": tuple(sorted({difficulty.length for difficulty in self.mixture})),
            "pairs": tuple(sorted({difficulty.pairs for difficulty in self.mixture})),
        }

    @property
    def _num_keys(self) -> int:
        return self.vocab_size // 2 - 1

    def sample(self, key: PRNGKey) -> Example:
        """Draw a difficulty, then keys, values and slots for the most pairs, of which the first are used."""
        difficulty_key, keys_key, values_key, slots_key, filler_key = jax.random.split(key, 5)
        lengths, pair_counts, weights = (jnp.array(column) for column in zip(*self.mixture, strict=True))
        difficulty = jax.random.categorical(difficulty_key, jnp.log(weights.astype(jnp.float32)))
        length, pairs = lengths[difficulty], pair_counts[difficulty]

        first_value = self.vocab_size // 2
        keys = 1 + draw_uniform(keys_key, self._num_keys, self.num_scored)
        values = first_value + draw_uniform(values_key, self.vocab_size - first_value, self.num_scored)
        used = jnp.arange(self.num_scored) < pairs
        slots = self._draw_slots(slots_key, (length - 2 * pairs) // 2)
        positions = jnp.where(used, 2 * (pairs + slots), 0)

        time = jnp.arange(self.max_len)
        context = jnp.pad(jnp.stack([keys, values], axis=1).reshape(-1), (0, self.max_len - 2 * self.num_scored))
        tokens = jnp.where(time < 2 * pairs, context, self._draw_filler(filler_key))
        tokens = tokens.at[jnp.where(used, positions, self.max_len)].set(keys, mode="drop")
        return Example(
            tokens=jnp.where(time < length, tokens, 0),
            positions=positions,
            targets=jnp.where(used, values, 0),
            weights=used.astype(jnp.float32),
            slices={"length": length, "pairs": pairs},
        )

    def _draw_slots(self, key: PRNGKey, num_slots: Int[Array, ""]) -> Int[Array, "M"]:
        """Draw the slot of each query in turn; slot i is the i-th even offset after the context."""
        slot = jnp.arange(max((d.length - 2 * d.pairs) // 2 for d in self.mixture))
        log_weights = (self.power_a - 1) * jnp.log1p(slot.astype(jnp.float32))
        return draw_weighted(key, jnp.where(slot < num_slots, log_weights, -jnp.inf), self.num_scored)

    def _draw_filler(self, key: PRNGKey) -> Int[Array, "T"]:
        if self.filler is Filler.zeros:
            return jnp.zeros(self.max_len, dtype=jnp.int32)
        return jax.random.randint(key, (self.max_len,), 0, self.vocab_size, dtype=jnp.int32)


def _tuple_if_list(value: Any) -> Any:
    """Make the lists that YAML and Hydra give hashable; anything else stays as it is."""
    return tuple(value) if isinstance(value, list) else value


def _entries(name: str, value: Any) -> list[tuple[str, Any]]:
    """The numbers of an option with the names to call them by in a refusal."""
    if isinstance(value, tuple):
        return [(f"{name}[{i}]", entry) for i, entry in enumerate(value)]
    return [(name, value)]
