"""Selective copying: remember the letters that stand among blanks, and write them out in order.

Three letters in 10 tokens, written a, b, ... here (tokens 2, 3, ...); `_` is a blank (token 0), `|` asks for the
copy (token 1), `.` is not scored:

    position   0   1   2   3   4   5   6   7   8   9
    token      _   d   a   _   _   b   |   _   _   _
    target     .   .   .   .   .   .   .   d   a   b

The letters are drawn independently, then each blank picks one of them, all equally likely, and goes right before
it: so the last letter is always followed by `|`. The answer is not shown: one blank asks for each letter.

Source: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (arXiv 2403.17844), selective
copying of MAD; `generate_copying_instance` in `mad/data/instances.py` of its code. There the positions of the
blanks come from a global generator that the data's seed does not set; here from the example's own key. The task is
that of Gu and Dao 2023, "Mamba" (arXiv 2312.00752), section 4.1.1: `task.length=4113` has its 4096 tokens of
letters and blanks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_needs, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.alphabet import mark_or_letter
from sandbox.tasks.parts.lengths import FixedLengthConfig
from sandbox.tasks.task import Example, TokenMeaning

BLANK, COPY = range(2)
FIRST_LETTER = 2


@dataclass(unsafe_hash=True)
class SelectiveCopyConfig(FixedLengthConfig):
    """Copying of letters among blanks."""

    length: int = 256
    """Tokens of a sequence, those of the answer included."""
    vocab_size: int = 16
    """Number of tokens: the blank, the one that asks for the copy, and the letters."""
    num_letters: int = 16
    """Number of letters that are copied."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_number("task.vocab_size", self.vocab_size, least=FIRST_LETTER + 1)
        check_whole_number("task.length", self.length, least=3)
        check_whole_number("task.num_letters", self.num_letters, least=1)
        asking = f"task.num_letters={self.num_letters}"
        check_needs(asking, "task.length", self.length, 2 * self.num_letters + 1, "2 x letters + 1")

    @property
    def num_scored(self) -> int:
        return self.num_letters

    def describe_token(self, token: int) -> TokenMeaning:
        return mark_or_letter(token, marks="_|")

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / (self.vocab_size - FIRST_LETTER)

    def sample(self, key: PRNGKey) -> Example:
        letters_key, blanks_key = jax.random.split(key)
        letters = jax.random.randint(
            letters_key, (self.num_letters,), FIRST_LETTER, self.vocab_size, dtype=jnp.int32
        )
        num_blanks = self.length - 2 * self.num_letters - 1
        number = jnp.arange(self.num_letters, dtype=jnp.int32)
        picked = jax.random.randint(blanks_key, (num_blanks,), 0, self.num_letters, dtype=jnp.int32)
        blanks_before = jnp.sum(picked[None, :] <= number[:, None], axis=1)
        copy = self.num_letters + num_blanks
        tokens = jnp.full(self.length, BLANK, dtype=jnp.int32)
        return Example(
            tokens=tokens.at[number + blanks_before].set(letters).at[copy].set(COPY),
            positions=copy + 1 + number,
            targets=letters,
            weights=jnp.ones(self.num_letters),
            slices=self.slices,
        )
