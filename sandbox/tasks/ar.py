"""Associative recall, the classic single query: read key-value pairs, then name the value of one of the keys.

Three pairs, vocabulary 16 (keys 1..7, values 8..15); `.` is not scored:

    position   0   1   2   3   4   5   6
    token      5  12   3   9   1  12   3
    target     .   .   .   .   .   .   9

Keys are distinct and equally likely to be asked for. Values are drawn independently, so two keys may have the
same value.

Source: Ba et al. 2016, "Using Fast Weights to Attend to the Recent Past" (arXiv 1610.06258), "associative
retrieval", whose letters and digits are keys and values here. Differences:

- it marks the question with two extra tokens before the key;
- Fu et al. 2023, "Hungry Hungry Hippos" (arXiv 2212.14052), draw keys with repetition, a repeated key with the
  same value, and mark the question with one extra token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.key_value import KeyValueConfig
from sandbox.tasks.parts.mixture import Difficulty, MixtureConfig
from sandbox.tasks.parts.without_replacement import draw_uniform
from sandbox.tasks.task import Example


@dataclass(unsafe_hash=True)
class ARConfig(MixtureConfig, KeyValueConfig):
    """Associative recall with one query, over a mixture of numbers of pairs."""

    vocab_size: int = 64
    pairs: Any = (4, 8, 16)
    """Key-value pairs of a sequence (int or list of int), which has 2 x pairs + 1 tokens."""

    def check_difficulty(self, difficulty: Difficulty, length_key: str, pairs_key: str) -> None:
        """Reject more pairs than there are keys."""
        self.check_keys_suffice(difficulty.pairs, pairs_key)

    def length_of(self, pairs: int) -> int:
        """The pairs, and one query after them."""
        return 2 * pairs + 1

    @property
    def num_scored(self) -> int:
        return 1

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.num_values

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        right_pair = 1 / slices["pairs"]
        return right_pair + (1 - right_pair) / self.num_values  # another key may have the same value

    def sample(self, key: PRNGKey) -> Example:
        difficulty_key, keys_key, values_key, query_key = jax.random.split(key, 4)
        length, pairs = self.draw_difficulty(difficulty_key)
        keys = 1 + draw_uniform(keys_key, self.num_keys, self.most_pairs)
        values = jax.random.randint(
            values_key, (self.most_pairs,), self.first_value, self.vocab_size, dtype=jnp.int32
        )
        asked = jax.random.randint(query_key, (), 0, pairs, dtype=jnp.int32)

        time = jnp.arange(self.max_len)
        context = jnp.append(jnp.stack([keys, values], axis=1).reshape(-1), 0)
        tokens = jnp.where(time < 2 * pairs, context, jnp.where(time == 2 * pairs, keys[asked], 0))
        return Example(
            tokens=tokens,
            positions=length[None] - 1,
            targets=values[asked][None],
            weights=jnp.ones(1),
            slices={"length": length, "pairs": pairs},
        )
