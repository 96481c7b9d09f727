"""Fuzzy in-context recall: keys and values are motifs, each of several tokens, whose number varies.

Three pairs, keys of 1 or 2 tokens from 1..7, values of 1 or 2 tokens from 8..15, the last pair a repetition of the
first; `.` is not scored, and padding follows up to the length, 11:

    position   0   1   2   3   4   5   6   7   8   9  10
    token      5   2  12   8   5  11   5   2  12   0   0
    target     .   .   .   .   .   .   .  12   8   .   .

The size of a motif is drawn first, all sizes equally likely, and its tokens are distinct. One key may be the
beginning of another, as 5 is of 5 2. Within a sequence a key always has the same value. Whenever a key occurs
again, all tokens of its value are scored: the first is due at the last token of the key, and each is shown after
it is due. The sequence has as many pairs as fit, then one more, whose key is one of those that occurred, all
equally likely.

In tests all keys have the largest size, as in the source.

Source: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (arXiv 2403.17844), fuzzy
in-context recall of MAD; `generate_fuzzy_in_context_recall_instance` in `mad/data/instances.py` of its code,
with several queries as in `configs/tasks/fuzzy-in-context-recall.yml`. Differences:

- there the last pair is drawn first and written somewhere into the sequence, sometimes beyond its end, so that the
  question asks for what was not shown;
- padding is at the end; there it comes first;
- MAD trains on all tokens, with `train.loss=all` here, and its accuracy is the mean over classes.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_needs, check_order, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.key_value import KeyValueConfig
from sandbox.tasks.parts.lengths import FixedLengthConfig
from sandbox.tasks.parts.repeats import draw_present_key, first_occurrence
from sandbox.tasks.parts.scoring import ask_where
from sandbox.tasks.parts.without_replacement import draw_uniform
from sandbox.tasks.task import Example, TaskConfig


@dataclass(unsafe_hash=True)
class FuzzyConfig(FixedLengthConfig, KeyValueConfig):
    """In-context recall with motifs of several tokens."""

    vocab_size: int = 16
    length: int = 128
    """Tokens of a sequence, padding included: at least twice the longest pair, minus one."""
    min_key_size: int = 1
    """Tokens of the shortest key in training."""
    key_size: int = 3
    """Tokens of the longest key in training, and of every key in tests."""
    value_size: int = 3
    """Tokens of the longest value."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("length", "min_key_size", "key_size", "value_size"):
            check_whole_number(f"task.{name}", getattr(self, name), least=1)
        check_order("task.min_key_size", self.min_key_size, "task.key_size", self.key_size)
        asking = f"task.key_size={self.key_size}, task.value_size={self.value_size}"
        least = 2 * self._longest_pair - 1
        check_needs(asking, "task.length", self.length, least, "two pairs, less one")
        # Each half must hold the longest motif; the lower one has token 0 too.
        least = 2 * max(self.key_size + 1, self.value_size)
        check_needs(asking, "task.vocab_size", self.vocab_size, least, "two halves, either with a longest motif")

    @property
    def _longest_pair(self) -> int:
        return self.key_size + self.value_size

    @property
    def num_scored(self) -> int:
        """M: the largest number of value tokens in a sequence, including the last, which is not shown."""
        return (self.length + 1) * self.value_size // (self.min_key_size + self.value_size)

    def test_tasks(self) -> tuple[TaskConfig, ...]:
        """The task with all keys of the largest size."""
        return (dataclasses.replace(self, min_key_size=self.key_size),)

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.num_values

    def sample(self, key: PRNGKey) -> Example:
        key_sizes_key, value_sizes_key, keys_key, values_key, probe_key = jax.random.split(key, 5)
        # A pair starts only if it and the last pair would fit even at their largest sizes.
        last_start = self.length + 1 - 2 * self._longest_pair
        most_pairs = last_start // (self.min_key_size + 1) + 1
        key_sizes = jax.random.randint(key_sizes_key, (most_pairs,), self.min_key_size, self.key_size + 1)
        value_sizes = jax.random.randint(value_sizes_key, (most_pairs,), 1, self.value_size + 1)
        keys = 1 + _draw_motifs(keys_key, self.num_keys, self.key_size, key_sizes)
        values = self.first_value + _draw_motifs(values_key, self.num_values, self.value_size, value_sizes)

        # Earlier pairs alone decide where a pair starts, so it does not matter which later ones are dropped.
        key_tokens = jnp.where(jnp.arange(self.key_size)[None, :] < key_sizes[:, None], keys, 0)
        first = first_occurrence(key_tokens, jnp.ones(most_pairs, dtype=bool))
        starts = jnp.cumsum(key_sizes + value_sizes[first]) - (key_sizes + value_sizes[first])
        presented = starts <= last_start
        end = jnp.max(jnp.where(presented, starts + key_sizes + value_sizes[first], 0))
        probe = draw_present_key(probe_key, first, presented)

        # The last pair is one more, after those that are used.
        number = jnp.append(jnp.arange(most_pairs), most_pairs)
        pair, first = jnp.append(jnp.arange(most_pairs), probe), jnp.append(first, probe)
        starts, written = jnp.append(starts, end), jnp.append(presented, True)
        value_starts = starts + key_sizes[pair]
        beyond = self.length + 1

        def positions(starts: Int[Array, " n"], sizes: Int[Array, " n"], most: int) -> Int[Array, "n most"]:
            index = jnp.arange(most)[None, :]
            return jnp.where(written[:, None] & (index < sizes[:, None]), starts[:, None] + index, beyond)

        key_positions = positions(starts, key_sizes[pair], self.key_size)
        value_positions = positions(value_starts, value_sizes[first], self.value_size)
        tokens = jnp.zeros(beyond, dtype=jnp.int32)
        tokens = tokens.at[key_positions].set(keys[pair], mode="drop")
        tokens = tokens.at[value_positions].set(values[first], mode="drop")
        repeated = (first < number)[:, None]
        value_due = jnp.zeros(beyond, dtype=bool)
        value_due = value_due.at[value_positions].set(repeated, mode="drop")

        # A token is due one position before it is shown; the last one is not shown.
        last = value_starts[-1] + value_sizes[first[-1]] - 1
        shown = jnp.arange(self.length) < last
        shown_tokens = jnp.where(shown, tokens[:-1], 0)
        return ask_where(value_due[1:], tokens[1:], self.num_scored, shown_tokens, self.slices)


def _draw_motifs(key: PRNGKey, population: int, most: int, sizes: Int[Array, " n"]) -> Int[Array, "n most"]:
    """Draw a motif of different tokens, counted from 0, for each size; a motif is the first `size` of them."""
    keys = jax.random.split(key, sizes.size)
    return jax.vmap(lambda key: draw_uniform(key, population, most))(keys)
