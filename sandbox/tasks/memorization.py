"""Memorization: name the value of a key, the same in all sequences of training and tests.

Three keys, vocabulary 16 (keys 1..7, values 8..15), with values 9 for key 2 and 14 for key 5; `.` is not scored:

    position   0   1   2   3   4   5
    token      5   _   2   _   5   _
    target     .  14   .   9   .  14

The answer is nowhere in the sequence: it has to be in the parameters. It is due at the blank after each key,
which is token 0. Keys are drawn independently.

Source: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (arXiv 2403.17844),
memorization of MAD; `generate_memorization_instance` in `mad/data/instances.py` of its code, without noise,
which its benchmark does not use. There too the map is one-to-one and fixed by a separate seed, 12345; it
comes from another generator, so it is another map.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_even, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.key_value import KeyValueConfig
from sandbox.tasks.parts.lengths import FixedLengthConfig
from sandbox.tasks.task import Example


@dataclass(unsafe_hash=True)
class MemorizationConfig(FixedLengthConfig, KeyValueConfig):
    """Recall of a fixed map."""

    vocab_size: int = 256
    """Number of tokens: 0 is the blank, keys are the rest of the lower half, values the upper."""
    length: int = 32
    """Tokens of a sequence, even: half of them are keys."""
    map_seed: int = 12345
    """Seed that the map is drawn from."""

    answers_follow: ClassVar[bool] = False
    zero_name: ClassVar[str] = "_"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_number("task.length", self.length, least=2)
        check_even("task.length", self.length)
        check_whole_number("task.map_seed", self.map_seed, least=0)

    @property
    def num_scored(self) -> int:
        return self.length // 2

    @property
    def value_of_key(self) -> Int[Array, " keys"]:
        """Values of the keys, from key 1 on."""
        values = jax.random.permutation(jax.random.key(self.map_seed), self.num_values)
        return self.first_value + values[: self.num_keys].astype(jnp.int32)

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.num_keys  # a value is that of one key at most

    def sample(self, key: PRNGKey) -> Example:
        keys = jax.random.randint(key, (self.num_scored,), 1, self.first_value, dtype=jnp.int32)
        return Example(
            tokens=jnp.stack([keys, jnp.zeros_like(keys)], axis=1).reshape(-1),
            positions=jnp.arange(1, self.length, 2, dtype=jnp.int32),
            targets=self.value_of_key[keys - 1],
            weights=jnp.ones(self.num_scored),
            slices=self.slices,
        )
