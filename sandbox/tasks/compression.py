"""Compression: read random letters, then say which letter stood at each position.

Three letters of an alphabet of 4 (tokens 1..4, token 0 ends the string, 5..7 ask for the
positions); `.` is not scored:

    position    0    1    2    3    4    5    6
    written     b    d    a    |   #1   #2   #3
    token       2    4    1    0    5    6    7
    target      .    .    .    .    2    4    1

Only the question says what is asked, so whatever a recurrent model answers has gone through its state at the end
of the string.

Source: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (arXiv 2403.17844),
compression of MAD; `generate_compression_instance` in `mad/data/instances.py` of its code. There the model is an
encoder: its output at the last position, one vector, goes to an MLP that decodes it at every
position of the string, the position encoded as a sum of sines. Here one model reads and answers. So:

- the position is one token instead of sines, and the model itself answers instead of the MLP;
- the bottleneck is the state of the model, not a vector of its width. A model with a fixed state must compress;
  attention, which may look back at the string, need not;
- the end of the string is not asked for; there it is one of the positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.alphabet import AlphabetConfig
from sandbox.tasks.parts.lengths import FixedLengthConfig
from sandbox.tasks.task import Example, TokenMeaning

END = 0
FIRST_LETTER = 1


@dataclass(unsafe_hash=True)
class CompressionConfig(AlphabetConfig, FixedLengthConfig):
    """Recall of letters by their positions in the string."""

    marks: ClassVar[tuple[str, ...]] = ("|",)

    length: int = 31
    """Letters of the string; a sequence has 2 x length + 1 tokens."""
    alphabet_size: int = 15
    """Number of different letters; the vocabulary adds the end of the string and a token for each position."""

    def __post_init__(self) -> None:
        check_whole_number("task.length", self.length, least=1)
        super().__post_init__()

    @property
    def vocab_size(self) -> int:
        return super().vocab_size + self.length

    @property
    def max_len(self) -> int:
        return 2 * self.length + 1

    @property
    def num_scored(self) -> int:
        return self.length

    @property
    def _first_position(self) -> int:
        return super().vocab_size

    def describe_token(self, token: int) -> TokenMeaning:
        if token >= self._first_position:
            return TokenMeaning("position", f"#{token - self._first_position + 1}")
        return super().describe_token(token)

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.alphabet_size

    def sample(self, key: PRNGKey) -> Example:
        letters = jax.random.randint(key, (self.length,), FIRST_LETTER, self._first_position, dtype=jnp.int32)
        positions = jnp.arange(self.length, dtype=jnp.int32)
        return Example(
            tokens=jnp.concatenate([letters, jnp.array([END]), self._first_position + positions]),
            positions=self.length + 1 + positions,
            targets=letters,
            weights=jnp.ones(self.length),
            slices=self.slices,
        )
