"""Compositional recall: a key has two parts, and neither tells the value without the other.

Four pairs in 24 tokens, vocabulary 18 (first parts 1..5, second parts 6..11, values 12..17), filler `zeros`; `.`
is not scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15  16  17  18  19  20  21  22  23
    token      4   7  13   2   9  17   4   9  12   2   7  15   2   7   0   4   9   0   2   9   0   4   7   0
    target     .   .   .   .   .   .   .   .   .   .   .   .   .  15   .   .  12   .   .  17   .   .  13   .

The keys of a sequence are all combinations of g first and g second parts, so each part stands in g keys and the
number of pairs is a square. A query is both parts of a key, and the answer is due at the second; it takes up 3
positions of those after the context, drawn with the law of `mqar`.

Source: the code of Zoology (Arora et al. 2023, arXiv 2312.04927), `zoology/data/compositional_mqar.py`.
Differences: those of `mqar`, and the length may be odd.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_choice, check_positive_number, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.filler import Filler, draw_filler
from sandbox.tasks.mixture import Difficulty, MixtureConfig
from sandbox.tasks.queries import Context, Queries, draw_slots, write_sequence
from sandbox.tasks.task import Example, TokenMeaning
from sandbox.tasks.without_replacement import draw_uniform, draw_weighted


@dataclass(unsafe_hash=True)
class CompositionalConfig(MixtureConfig):
    """Recall by two-part keys, over a mixture of difficulties; see `mqar` for lists and numbers."""

    vocab_size: int = 96
    """Number of tokens: 0 is padding and filler; the rest of the first third are first parts of keys, the second
    third second parts, the last third values."""
    length: Any = 64
    """Tokens of a sequence (int or list of int): at least 6 per pair. Shorter ones are padded."""
    pairs: Any = (4, 9)
    """Key-value pairs of a sequence (int or list of int), square numbers; each key is queried once."""
    weights: Any = 1
    """Relative frequency of each difficulty (positive number or list of them), in any unit."""
    power_a: float = 0.01
    """Concentration of queries after the context: slot i (from 0) is drawn in proportion to
    (i+1)^(power_a-1). Small values ask soon, 1 asks uniformly."""
    filler: Filler = Filler.zeros
    """What stands between the queries: `zeros`, `random` tokens, or `random_no_live_keys`, without either part."""
    test_lengths: Any = ()
    """Lengths that are tested (int or list of int), each by itself. Neither these nor `test_pairs` given: tested
    as trained."""
    test_pairs: Any = ()
    """Numbers of pairs that are tested (int or list of int), an entry for each of `test_lengths`."""

    def __post_init__(self) -> None:
        check_whole_number("task.vocab_size", self.vocab_size, minimum=6)
        check_positive_number("task.power_a", self.power_a)
        self.power_a = float(self.power_a)
        check_choice("task.filler", self.filler, Filler)
        super().__post_init__()

    def refuse_impossible(self, difficulty: Difficulty, length_name: str, pairs_name: str) -> None:
        """Refuse numbers of pairs that are no squares, or for which there is no room or are too few tokens."""
        length, pairs, _ = difficulty
        grid = math.isqrt(pairs)
        if grid**2 != pairs:
            raise ValueError(f"task.{pairs_name}={pairs} must be a square number: 1, 4, 9, 16, ...")
        if 6 * pairs > length:
            raise ValueError(
                f"task.{pairs_name}={pairs} needs task.{length_name} >= {6 * pairs} (6 x pairs), "
                f"got task.{length_name}={length}"
            )
        least = 3 * max(grid + 1, pairs)
        if least > self.vocab_size:
            raise ValueError(
                f"task.{pairs_name}={pairs} needs task.vocab_size >= {least} (a third for the values, one for "
                f"{grid} parts and token 0), got task.vocab_size={self.vocab_size}"
            )

    @property
    def _third(self) -> int:
        """First parts are the tokens 1 up to here, second parts those up to twice this, values the rest."""
        return self.vocab_size // 3

    def describe_token(self, token: int) -> TokenMeaning:
        """Token 0, the two parts of keys, values."""
        if token == 0:
            return TokenMeaning("mark", "0")
        kinds = ("first part", "second part", "value", "value")
        return TokenMeaning(kinds[min(token // self._third, 2)], str(token))

    def sample(self, key: PRNGKey) -> Example:
        """Draw a difficulty, then parts, values and slots for the most pairs, of which the first are used."""
        split = jax.random.split(key, 7)
        difficulty_key, first_key, second_key, order_key, values_key, slots_key, filler_key = split
        length, pairs = self.draw_difficulty(difficulty_key)
        most_parts = math.isqrt(self.most_pairs)
        first = 1 + draw_uniform(first_key, self._third - 1, most_parts)
        second = self._third + draw_uniform(second_key, self._third, most_parts)
        values = 2 * self._third + draw_uniform(values_key, self.vocab_size - 2 * self._third, self.most_pairs)
        used = jnp.arange(self.most_pairs) < pairs
        grid = self._grid_of(pairs)

        order = draw_weighted(order_key, jnp.where(used, 0.0, -jnp.inf), self.most_pairs)
        keys = jnp.stack([first[(order // grid) % most_parts], second[order % grid]], axis=1)
        tokens = jnp.append(keys, values[:, None], axis=1).reshape(-1)
        context = Context(tokens, 3 * pairs)

        num_slots = (length - context.length) // 3
        most_slots = max((d.length - 3 * d.pairs) // 3 for d in self.mixture)
        slots = draw_slots(slots_key, num_slots, most_slots, self.power_a, self.most_pairs)
        live = jnp.tile(jnp.arange(most_parts) < grid, 2)
        parts = jnp.append(first, second)
        filler = draw_filler(filler_key, self.filler, self.max_len, self.vocab_size, parts, live)
        return write_sequence(context, Queries(keys, values, used), slots, filler, length, pairs)

    def _grid_of(self, pairs: Int[Array, ""]) -> Int[Array, ""]:
        """Side of the square of so many pairs."""
        sides = jnp.arange(1, math.isqrt(self.most_pairs) + 1, dtype=jnp.int32)
        return jnp.sum(sides**2 <= pairs, dtype=jnp.int32)
