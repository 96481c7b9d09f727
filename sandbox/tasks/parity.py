"""Parity: is the number of ones so far odd?

Five bits, written 0 and 1 here (tokens 1 and 2; token 0 is padding); `.` is not scored:

    position               0    1    2    3    4    5
    token                  1    0    1    1    0   PAD
    target (`last`)        .    .    .    .    1    .
    target (`every`)       1    1    0    1    1    .

The simplest state to track: one bit, which every 1 flips. A linear recurrence whose transitions have only
positive eigenvalues can't do it at all lengths.

Source: Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory" (arXiv 2405.04517), formal languages;
`experiments/data/formal_language/tasks/parity.py` of its code, which trains on 2 to 39 bits and tests on up to 255
(`task.test_lengths=[40,80,160,255]`; its lengths count the answer too). The same task as "parity check" of
Delétang et al. 2023 (arXiv 2207.02098). Differences:

- a target at every step as an option;
- accuracy is not rescaled to (accuracy - chance) / (1 - chance), with chance 1/2, as in the source's tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.state_tracking import StateTrackingConfig
from sandbox.tasks.task import Example, TokenMeaning

PAD = 0
ZERO = 1


@dataclass(unsafe_hash=True)
class ParityConfig(StateTrackingConfig):
    """Parity of a number of bits that is uniform over `min_length..max_length`."""

    min_length: int = 2
    """Bits of the shortest sequence."""
    max_length: int = 39
    """Bits of the longest sequence."""

    @property
    def vocab_size(self) -> int:
        return 3

    def describe_token(self, token: int) -> TokenMeaning:
        return TokenMeaning("mark", "PAD") if token == PAD else TokenMeaning("bit", str(token - ZERO))

    def num_sequences(self, length: int) -> int:
        return 2**length

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / 2

    def sample(self, key: PRNGKey) -> Example:
        length_key, bits_key = jax.random.split(key)
        length = self.draw_length(length_key)
        bits = jax.random.randint(bits_key, (self.max_length,), 0, 2, dtype=jnp.int32)
        time = jnp.arange(self.max_length, dtype=jnp.int32)
        tokens = jnp.where(time < length, ZERO + bits, PAD)
        parities = ZERO + jnp.cumsum(bits) % 2
        return self.ask(tokens, time, parities, steps=length, length=length)
