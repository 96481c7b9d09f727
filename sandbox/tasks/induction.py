"""Induction heads: recall what followed the one earlier occurrence of a special token.

8 tokens, written a, b, ... here (tokens 2, 3, ...), with `!` for the special one (token 1); `.` is not scored:

    position   0   1   2   3   4   5   6   7
    token      c   a   !   d   a   b   d   !
    target     .   .   .   .   .   .   .   d

The special token stands at the end and at one earlier position, followed by at least one other token, all such
positions equally likely. The other tokens are drawn independently.

Source: Gu and Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (arXiv 2312.00752),
section 4.1.2 and appendix E.1: 16 tokens, trained on length 256 and tested on 64 to 2^20, which is
`task.test_lengths=[64,128,256,512,1024,...]`. Its code is not public; that of the task's source, Fu et al. 2023,
"Hungry Hungry Hippos" (arXiv 2212.14052), is `src/dataloaders/synthetics.py` of safari. Differences:

- the vocabulary has one more token, for padding, because lengths may be mixed;
- there the recalled token never stands right before the last special token; here it may;
- the special token occurs exactly twice; in that code it may occur more often;
- the answer alone is scored; that code trains on all tokens, `train.loss=all` here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.alphabet import AlphabetConfig
from sandbox.tasks.parts.lengths import VariableLengthConfig
from sandbox.tasks.task import Example

PAD, SPECIAL = range(2)
FIRST_LETTER = 2


@dataclass(unsafe_hash=True)
class InductionConfig(AlphabetConfig, VariableLengthConfig):
    """Induction heads on sequences whose length is uniform over `min_length..max_length`."""

    answers_follow: ClassVar[bool] = True
    marks: ClassVar[tuple[str, ...]] = ("PAD", "!")

    min_length: int = 256
    """Tokens of the shortest sequence, at least 3."""
    max_length: int = 256
    """Tokens of the longest sequence."""
    alphabet_size: int = 15
    """Number of ordinary tokens; the vocabulary adds padding and the special token."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_lengths_suffice(3, "the special token, what follows it, the special token")

    @property
    def max_len(self) -> int:
        return self.max_length

    @property
    def num_scored(self) -> int:
        return 1

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.alphabet_size

    def sample(self, key: PRNGKey) -> Example:
        length_key, letters_key, position_key = jax.random.split(key, 3)
        length = self.draw_length(length_key)
        letters = jax.random.randint(
            letters_key, (self.max_length,), FIRST_LETTER, self.vocab_size, dtype=jnp.int32
        )
        position = jax.random.randint(position_key, (), 0, length - 2, dtype=jnp.int32)
        tokens = letters.at[jnp.stack([position, length - 1])].set(SPECIAL)
        return Example(
            tokens=jnp.where(jnp.arange(self.max_length) < length, tokens, PAD),
            positions=length[None] - 1,
            targets=letters[position + 1][None],
            weights=jnp.ones(1),
            slices={"length": length},
        )
