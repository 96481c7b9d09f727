"""Forgetting: recall in which some keys later get another value, and the last value is the answer.

Two pairs of which one is updated, 14 tokens, vocabulary 16 (keys 1..7, values 8..15), filler `zeros`; `.` is not
scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11  12  13
    token      5  12   3   9   5  14   3   0   5   0   0   0   0   0
    target     .   .   .   .   .   .   9   .  14   .   .   .   .   .

The pairs come first, then the updates, then the queries as in `mqar`: each key once, at even offsets, mostly
soon. A model that only adds what it reads to its state recalls a mixture of both values. Nothing marks the end
of the updates: with the filler `random`, a key in the filler looks like another update, which
`random_no_live_keys` avoids.

Source: the code of Zoology (Arora et al. 2023, arXiv 2312.04927), `zoology/data/forgetting_mqar.py`.
Differences:

- a new value differs from the old value of its key, as that code intends: it draws the j-th new value to differ
  from the value of key j, but gives it to another key, which may thus be updated with its old value;
- the differences of `mqar`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_even, check_order, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.key_value import KeyValueConfig
from sandbox.tasks.parts.mixture import Difficulty
from sandbox.tasks.parts.queries import Content, Count, QueriesConfig
from sandbox.tasks.parts.without_replacement import draw_among, draw_uniform
from sandbox.tasks.task import Example


@dataclass(unsafe_hash=True)
class ForgettingConfig(QueriesConfig, KeyValueConfig):
    """Recall of the last value, over a mixture of difficulties; see `mqar` for lists and numbers."""

    length: Any = 64
    """Tokens of a sequence (int or list of int): even, at least 4 per pair and 2 per update."""
    num_updates: int = 4
    """Number of keys that get another value."""

    def __post_init__(self) -> None:
        check_whole_number("task.num_updates", self.num_updates, least=1)
        super().__post_init__()

    def context_length(self, pairs: Count) -> Count:
        """A key and a value for each pair and each update."""
        return 2 * (pairs + self.num_updates)

    def check_difficulty(self, difficulty: Difficulty, length_key: str, pairs_key: str) -> None:
        """Reject odd lengths, more updates than pairs, and more pairs than fit or have keys."""
        check_even(length_key, difficulty.length)
        check_order("task.num_updates", self.num_updates, pairs_key, difficulty.pairs)
        asking = f"{pairs_key}={difficulty.pairs}, task.num_updates={self.num_updates}"
        self.check_room(asking, difficulty, length_key, "4 x pairs + 2 x updates")
        self.check_keys_suffice(difficulty.pairs, pairs_key)

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.num_values

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        """Of the pairs and updates that have the value asked for: one, and those that have it by coincidence."""
        pairs, updates, others = slices["pairs"], self.num_updates, self.num_values - 1
        same_as_kept = 1 + updates / others
        same_as_new = 1 + (pairs - 1) / others + (updates - 1) * (others - 1) / others**2
        return ((pairs - updates) * same_as_kept + updates * same_as_new) / pairs / (pairs + updates)

    def sample(self, key: PRNGKey) -> Example:
        split = jax.random.split(key, 7)
        difficulty_key, keys_key, values_key, updates_key, new_values_key, slots_key, filler_key = split
        length, pairs = self.draw_difficulty(difficulty_key)
        keys = 1 + draw_uniform(keys_key, self.num_keys, self.most_pairs)
        values = draw_uniform(values_key, self.num_values, self.most_pairs)
        used = jnp.arange(self.most_pairs) < pairs

        updated = draw_among(updates_key, used, self.num_updates)
        new_values = self._draw_others(new_values_key, values[updated])
        last_values = values.at[updated].set(new_values)

        old = jnp.stack([keys, self.first_value + values], axis=1).reshape(-1)
        new = jnp.stack([keys[updated], self.first_value + new_values], axis=1).reshape(-1)
        context = jax.lax.dynamic_update_slice(jnp.append(old, jnp.zeros_like(new)), new, (2 * pairs,))
        content = Content(context, keys[:, None], self.first_value + last_values, keys, live=used)
        return self.write_sequence(slots_key, filler_key, length, pairs, content)

    def _draw_others(self, key: PRNGKey, values: Int[Array, "U"]) -> Int[Array, "U"]:
        """Draw for each of these values, counted from 0, one of the others, all equally likely."""
        drawn = jax.random.randint(key, values.shape, 0, self.num_values - 1, dtype=jnp.int32)
        return jnp.where(drawn >= values, drawn + 1, drawn)
