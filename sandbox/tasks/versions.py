"""Versions: each key gets several values, one after the other; which did it have before the last change?

Two keys with two values each, vocabulary 18 (steps back 1 and 2, keys 3..9, values 10..17); `.` is not
scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11
    token      5  12   3  11   5  14   3  10   2   5   1   3
    target     .   .   .   .   .   .   .   .   .  12   .  10

All pairs come in random order, so that the values of a key are as old as it happens. Then every key is asked
for once: a token that says which value, counted from the last (1), and the key. A memory that replaces the
value of a key has the last one alone; one that adds recalls a mixture.

Source: defined here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_needs, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.mixture import Difficulty, MixtureConfig
from sandbox.tasks.parts.scoring import make_example
from sandbox.tasks.parts.without_replacement import draw_among, draw_uniform
from sandbox.tasks.task import Example, TokenMeaning


@dataclass(unsafe_hash=True)
class VersionsConfig(MixtureConfig):
    """Recall of one of the values of each key, over a mixture of numbers of keys."""

    vocab_size: int = 64
    """Number of tokens: 0 is padding, then the steps back, and keys and values, one half of the rest each."""
    pairs: Any = (2, 4)
    """Keys of a sequence (int or list of int), each of which is asked for once."""
    num_versions: int = 2
    """Values of each key, one after the other."""

    def __post_init__(self) -> None:
        check_whole_number("task.vocab_size", self.vocab_size, least=4)
        check_whole_number("task.num_versions", self.num_versions, least=2)
        super().__post_init__()

    @property
    def first_key(self) -> int:
        """Keys are the tokens from this one on."""
        return 1 + self.num_versions

    @property
    def first_value(self) -> int:
        """Values are the tokens from this one on."""
        return self.first_key + (self.vocab_size - self.first_key) // 2

    @property
    def num_values(self) -> int:
        """Number of values, at least as many as keys."""
        return self.vocab_size - self.first_value

    def check_difficulty(self, difficulty: Difficulty, length_key: str, pairs_key: str) -> None:
        """Reject more pairs than there are values, which are at least as many as keys."""
        asking = f"{pairs_key}={difficulty.pairs}, task.num_versions={self.num_versions}"
        least = self.first_key + 2 * self.num_versions * difficulty.pairs
        check_needs(asking, "task.vocab_size", self.vocab_size, least, "1 + versions + 2 x pairs x versions")

    def length_of(self, pairs: int) -> int:
        """A key and a value for each version, and two tokens for each question."""
        return 2 * pairs * (self.num_versions + 1)

    def describe_token(self, token: int) -> TokenMeaning:
        if token == 0:
            return TokenMeaning("mark", "0")
        if token < self.first_key:
            return TokenMeaning("version", f"-{token}")
        return TokenMeaning("key" if token < self.first_value else "value", str(token))

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.num_values

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        return 1 / (slices["pairs"] * self.num_versions)

    def sample(self, key: PRNGKey) -> Example:
        difficulty_key, keys_key, values_key, order_key, asked_key, back_key = jax.random.split(key, 6)
        length, pairs = self.draw_difficulty(difficulty_key)
        most, versions = self.most_pairs, self.num_versions
        keys = self.first_key + draw_uniform(keys_key, self.first_value - self.first_key, most)
        values = self.first_value + draw_uniform(values_key, self.num_values, most * versions)
        time = jnp.arange(most * versions)
        order = draw_among(
            order_key, time < pairs * versions, most * versions
        )  # those that are not used come last
        owner = order // versions  # the key of each pair, in the order of the sequence
        same = owner[:, None] == owner[None, :]
        later = jnp.sum(same & (time[None, :] > time[:, None]) & (time < pairs * versions), axis=1)

        asked = draw_among(asked_key, jnp.arange(most) < pairs, most)
        back = jax.random.randint(back_key, (most,), 1, versions + 1, dtype=jnp.int32)
        wanted = (owner[None, :] == asked[:, None]) & (later[None, :] == back[:, None] - 1)
        targets = values[jnp.argmax(wanted, axis=1)]

        context = jnp.stack([keys[owner], values], axis=1).reshape(-1)
        queries = jnp.stack([back, keys[asked]], axis=1).reshape(-1)
        start = 2 * pairs * versions
        tokens = jax.lax.dynamic_update_slice(
            jnp.append(context, jnp.zeros(2 * most, jnp.int32)), queries, (start,)
        )
        return make_example(
            tokens=jnp.where(jnp.arange(self.max_len) < length, tokens[: self.max_len], 0),
            positions=start + 2 * jnp.arange(most) + 1,
            targets=targets,
            used=jnp.arange(most) < pairs,
            slices={"length": length, "pairs": pairs},
        )
