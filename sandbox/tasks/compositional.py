"""Compositional recall: a key has two parts, and neither determines the value without the other.

Four pairs in 24 tokens, vocabulary 18 (first parts 1..5, second parts 6..11, values 12..17), filler `zeros`; `.`
is not scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15  16  17  18  19  20  21  22  23
    token      4   7  13   2   9  17   4   9  12   2   7  15   2   7   0   4   9   0   2   9   0   4   7   0
    target     .   .   .   .   .   .   .   .   .   .   .   .   .  15   .   .  12   .   .  17   .   .  13   .

The keys of a sequence are all combinations of g first and g second parts, so each part occurs in g keys and the
number of pairs is a square. A query is both parts of a key, and the answer is due at the second; a query takes 3
positions after the context, drawn with the law of `mqar`.

Source: the code of Zoology (Arora et al. 2023, arXiv 2312.04927), `zoology/data/compositional_mqar.py`.
Differences: those of `mqar`, and the length may be odd.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_needs, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.mixture import Difficulty
from sandbox.tasks.parts.queries import Content, Count, QueriesConfig
from sandbox.tasks.parts.without_replacement import draw_among, draw_uniform
from sandbox.tasks.task import Example, TokenMeaning


@dataclass(unsafe_hash=True)
class CompositionalConfig(QueriesConfig):
    """Recall by two-part keys, over a mixture of difficulties; see `mqar` for lists and numbers."""

    query_size: ClassVar[int] = 2

    vocab_size: int = 96
    """Number of tokens: 0 is padding and filler; the rest of the first third are first parts of keys, the second
    third second parts, the last third values."""
    length: Any = 64
    """Tokens of a sequence (int or list of int): at least 6 per pair. Shorter ones are padded."""
    pairs: Any = (4, 9)
    """Key-value pairs of a sequence (int or list of int), square numbers; each key is queried once."""

    def __post_init__(self) -> None:
        check_whole_number("task.vocab_size", self.vocab_size, least=6)
        super().__post_init__()

    def context_length(self, pairs: Count) -> Count:
        """The two parts of a key and a value for each pair."""
        return 3 * pairs

    def check_difficulty(self, difficulty: Difficulty, length_key: str, pairs_key: str) -> None:
        """Reject numbers of pairs that are not squares, or need a longer sequence or a larger vocabulary."""
        grid = math.isqrt(difficulty.pairs)
        asking = f"{pairs_key}={difficulty.pairs}"
        if grid**2 != difficulty.pairs:
            raise ValueError(f"{asking} must be a square number: 1, 4, 9, 16, ...")
        self.check_room(asking, difficulty, length_key, "6 x pairs")
        because = f"a third for the values, one for {grid} parts and token 0"
        check_needs(asking, "task.vocab_size", self.vocab_size, 3 * max(grid + 1, difficulty.pairs), because)

    @property
    def _third(self) -> int:
        """First parts are the tokens 1 up to here, second parts those up to twice this, values the rest."""
        return self.vocab_size // 3

    def describe_token(self, token: int) -> TokenMeaning:
        if token == 0:
            return TokenMeaning("mark", "0")
        kinds = ("first part", "second part", "value", "value")
        return TokenMeaning(kinds[min(token // self._third, 2)], str(token))

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / (self.vocab_size - 2 * self._third)

    def sample(self, key: PRNGKey) -> Example:
        split = jax.random.split(key, 7)
        difficulty_key, first_key, second_key, order_key, values_key, slots_key, filler_key = split
        length, pairs = self.draw_difficulty(difficulty_key)
        most_parts = math.isqrt(self.most_pairs)
        first = 1 + draw_uniform(first_key, self._third - 1, most_parts)
        second = self._third + draw_uniform(second_key, self._third, most_parts)
        values = 2 * self._third + draw_uniform(values_key, self.vocab_size - 2 * self._third, self.most_pairs)
        grid = self._grid_of(pairs)

        order = draw_among(order_key, jnp.arange(self.most_pairs) < pairs, self.most_pairs)
        keys = jnp.stack([first[(order // grid) % most_parts], second[order % grid]], axis=1)
        context = jnp.append(keys, values[:, None], axis=1).reshape(-1)
        live = jnp.tile(jnp.arange(most_parts) < grid, 2)
        content = Content(context, keys, values, jnp.append(first, second), live)
        return self.write_sequence(slots_key, filler_key, length, pairs, content)

    def _grid_of(self, pairs: Int[Array, ""]) -> Int[Array, ""]:
        """Square root of a number of pairs, a square number."""
        sides = jnp.arange(1, math.isqrt(self.most_pairs) + 1, dtype=jnp.int32)
        return jnp.sum(sides**2 <= pairs, dtype=jnp.int32)
