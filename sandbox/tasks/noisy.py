"""Noisy in-context recall: pairs whose keys repeat, with noise among them.

Four pairs of 2 tokens, keys 0..2, values 3..5, noise 6..8; `.` is not scored:

    position   0   1   2   3   4   5   6
    token      1   4   8   7   1   4   1
    target     .   .   .   .   4   .   4

Each pair is noise with probability `noise`: two tokens of a separate vocabulary. The others are a key and its
value, the same throughout a sequence. The answer is due at each key that has occurred before, and shown after it.
The last pair is never noise: it asks for one of the keys that occurred, all equally likely.

Source: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (arXiv 2403.17844), noisy
in-context recall of MAD; `generate_in_context_recall_instance` in `mad/data/instances.py` of its code, with
several queries as in `configs/tasks/noisy-in-context-recall.yml`. `task.noise=0 task.noise_vocab_size=0
task.vocab_size=16` is its in-context recall. Differences:

- one pair before the last is never noise, so that there is something to ask for. There the spared pair may be the
  last one, and then all before it may be noise;
- MAD trains on all tokens, with `train.loss=all` here, and its accuracy is the mean over classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_even, check_needs, check_share, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.lengths import FixedLengthConfig
from sandbox.tasks.parts.repeats import draw_present_key, first_occurrence
from sandbox.tasks.parts.scoring import ask_where
from sandbox.tasks.task import Example, TokenMeaning


@dataclass(unsafe_hash=True)
class NoisyConfig(FixedLengthConfig):
    """In-context recall among noise."""

    answers_follow: ClassVar[bool] = True

    length: int = 128
    """Tokens of all pairs, even; the last value is not shown, so a sequence has one token less."""
    vocab_size: int = 32
    """Number of tokens: keys, then values (one more than keys if their sum is odd), then noise."""
    noise_vocab_size: int = 16
    """Number of tokens that are noise."""
    noise: float = 0.2
    """Share of the pairs that are noise, below 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_number("task.vocab_size", self.vocab_size, least=2)
        check_whole_number("task.noise_vocab_size", self.noise_vocab_size, least=0)
        check_share("task.noise", self.noise)
        self.noise = float(self.noise)
        check_whole_number("task.length", self.length, least=4)
        check_even("task.length", self.length)
        asking = f"task.noise_vocab_size={self.noise_vocab_size}"
        because = "a key and a value besides"
        check_needs(asking, "task.vocab_size", self.vocab_size, self.noise_vocab_size + 2, because)
        if self.noise:
            check_needs(f"task.noise={self.noise}", "task.noise_vocab_size", self.noise_vocab_size, 1)

    @property
    def max_len(self) -> int:
        return self.length - 1

    @property
    def num_scored(self) -> int:
        return self.length // 2 - 1

    @property
    def first_value(self) -> int:
        """Keys are the tokens below this one, values those from it to `first_noise`."""
        return self.first_noise // 2

    @property
    def first_noise(self) -> int:
        """Noise is the tokens from this one on."""
        return self.vocab_size - self.noise_vocab_size

    def describe_token(self, token: int) -> TokenMeaning:
        kind = "key" if token < self.first_value else "value" if token < self.first_noise else "noise"
        return TokenMeaning(kind, str(token))

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / (self.first_noise - self.first_value)

    def sample(self, key: PRNGKey) -> Example:
        noise_key, spared_key, keys_key, values_key, tokens_key, probe_key = jax.random.split(key, 6)
        num_pairs = self.length // 2
        number = jnp.arange(num_pairs)
        spared = jax.random.randint(spared_key, (), 0, num_pairs - 1)
        noisy = jax.random.bernoulli(noise_key, self.noise, (num_pairs,))
        noisy = noisy & (number != spared) & (number < num_pairs - 1)

        keys = jax.random.randint(keys_key, (num_pairs,), 0, self.first_value, dtype=jnp.int32)
        presented = ~noisy & (number < num_pairs - 1)
        probe = draw_present_key(probe_key, first_occurrence(keys[:, None], presented), presented)
        keys = keys.at[-1].set(keys[probe])
        first = first_occurrence(keys[:, None], presented)
        values = jax.random.randint(values_key, (num_pairs,), self.first_value, self.first_noise, dtype=jnp.int32)
        values = values[first]

        pairs = jnp.stack([keys, values], axis=1)
        if self.noise:
            noise = jax.random.randint(tokens_key, pairs.shape, self.first_noise, self.vocab_size, dtype=jnp.int32)
            pairs = jnp.where(noisy[:, None], noise, pairs)
        repeated = ~noisy & (first < number)
        due = jnp.stack([repeated, jnp.zeros_like(repeated)], axis=1).reshape(-1)[:-1]
        tokens = pairs.reshape(-1)[:-1]
        return ask_where(due, jnp.repeat(values, 2)[:-1], self.num_scored, tokens, self.slices)
