"""Forgetting: recall where some keys are given another value later, and the answer is the last one.

Two pairs of which one is updated, 14 tokens, vocabulary 16 (keys 1..7, values 8..15), filler `zeros`; `.` is not
scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11  12  13
    token      5  12   3   9   5  14   3   0   5   0   0   0   0   0
    target     .   .   .   .   .   .   9   .  14   .   .   .   .   .

The pairs come first, then the updates, then the queries as in `mqar`: each key once, at even offsets, mostly
soon. A model that only adds what it reads to its state recalls a mixture of both values. Nothing marks the end
of the updates: with the filler `random`, a key in it looks like one more of them, which `random_no_live_keys`
avoids.

Source: the code of Zoology (Arora et al. 2023, arXiv 2312.04927), `zoology/data/forgetting_mqar.py`.
Differences:

- a new value differs from the one that its key had, which is what that code is meant to do: it draws the j-th
  new value to differ from the value of key j, but gives it to another key, which then may be updated with its
  old value;
- the differences of `mqar`.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_choice, check_positive_number, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.filler import Filler, draw_filler
from sandbox.tasks.key_value import KeyValueConfig
from sandbox.tasks.mixture import Difficulty, MixtureConfig
from sandbox.tasks.queries import Context, Queries, draw_slots, write_sequence
from sandbox.tasks.task import Example
from sandbox.tasks.without_replacement import draw_uniform, draw_weighted


@dataclass(unsafe_hash=True)
class ForgettingConfig(KeyValueConfig, MixtureConfig):
    """Recall of the last value, over a mixture of difficulties; see `mqar` for lists and numbers."""

    vocab_size: int = 256
    """Number of tokens: 0 is padding and filler, keys are the rest of the lower half, values the upper."""
    length: Any = 64
    """Tokens of a sequence (int or list of int): even, at least 4 per pair and 2 per update."""
    pairs: Any = (4, 8)
    """Keys of a sequence (int or list of int), each of which is queried once."""
    weights: Any = 1
    """Relative frequency of each difficulty (positive number or list of them), in any unit."""
    num_updates: int = 4
    """How many of the keys are given another value."""
    power_a: float = 0.01
    """Concentration of queries after the context: slot i (from 0) is drawn in proportion to
    (i+1)^(power_a-1). Small values ask soon, 1 asks uniformly."""
    filler: Filler = Filler.zeros
    """What stands between the queries: `zeros`, `random` tokens, or `random_no_live_keys`."""
    test_lengths: Any = ()
    """Lengths that are tested (int or list of int), each by itself. Neither these nor `test_pairs` given: tested
    as trained."""
    test_pairs: Any = ()
    """Numbers of pairs that are tested (int or list of int), an entry for each of `test_lengths`."""

    def __post_init__(self) -> None:
        KeyValueConfig.__post_init__(self)
        check_whole_number("task.num_updates", self.num_updates, minimum=1)
        check_positive_number("task.power_a", self.power_a)
        self.power_a = float(self.power_a)
        check_choice("task.filler", self.filler, Filler)
        MixtureConfig.__post_init__(self)

    def refuse_impossible(self, difficulty: Difficulty, length_name: str, pairs_name: str) -> None:
        """Refuse odd lengths, more pairs than there is room or are keys for, and more updates than pairs."""
        length, pairs, _ = difficulty
        if length % 2:
            raise ValueError(f"task.{length_name}={length} must be even")
        if self.num_updates > pairs:
            raise ValueError(
                f"task.num_updates={self.num_updates} must be <= task.{pairs_name}, got task.{pairs_name}={pairs}"
            )
        needed = 4 * pairs + 2 * self.num_updates
        if needed > length:
            raise ValueError(
                f"task.{pairs_name}={pairs} and task.num_updates={self.num_updates} need task.{length_name} >= "
                f"{needed} (4 x pairs + 2 x updates), got task.{length_name}={length}"
            )
        self.refuse_more_pairs_than_keys(pairs, pairs_name)

    def sample(self, key: PRNGKey) -> Example:
        """Draw a difficulty, then keys, values and slots for the most pairs, of which the first are used."""
        split = jax.random.split(key, 7)
        difficulty_key, keys_key, values_key, updates_key, new_values_key, slots_key, filler_key = split
        length, pairs = self.draw_difficulty(difficulty_key)
        keys = 1 + draw_uniform(keys_key, self.num_keys, self.most_pairs)
        values = draw_uniform(values_key, self.num_values, self.most_pairs)
        used = jnp.arange(self.most_pairs) < pairs

        updated = draw_weighted(updates_key, jnp.where(used, 0.0, -jnp.inf), self.num_updates)
        new_values = self._draw_others(new_values_key, values[updated])
        last_values = values.at[updated].set(new_values)

        old = jnp.stack([keys, self.first_value + values], axis=1).reshape(-1)
        new = jnp.stack([keys[updated], self.first_value + new_values], axis=1).reshape(-1)
        tokens = jnp.append(old, jnp.zeros_like(new))
        tokens = jax.lax.dynamic_update_slice(tokens, new, (2 * pairs,))
        context = Context(tokens, 2 * (pairs + self.num_updates))

        num_slots = (length - context.length) // 2
        most_slots = max(d.length // 2 - d.pairs - self.num_updates for d in self.mixture)
        slots = draw_slots(slots_key, num_slots, most_slots, self.power_a, self.most_pairs)
        filler = draw_filler(filler_key, self.filler, self.max_len, self.vocab_size, keys, used)
        queries = Queries(keys[:, None], self.first_value + last_values, used)
        return write_sequence(context, queries, slots, filler, length, pairs)

    def _draw_others(self, key: PRNGKey, values: Int[Array, "U"]) -> Int[Array, "U"]:
        """For each of these values, counted from 0, one of the others, all equally likely."""
        drawn = jax.random.randint(key, values.shape, 0, self.num_values - 1, dtype=jnp.int32)
        return jnp.where(drawn >= values, drawn + 1, drawn)
