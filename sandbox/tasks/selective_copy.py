"""Selective copying: remember the letters that stand among blanks, and write them out in order.

Three letters in 10 tokens, written a, b, ... here (tokens 2, 3, ...); `_` is a blank (token 0), `|` says to copy
(token 1), `.` is not scored:

    position   0   1   2   3   4   5   6   7   8   9
    token      _   d   a   _   _   b   |   _   _   _
    target     .   .   .   .   .   .   .   d   a   b

The letters are drawn independently, then each blank picks one of them, all equally likely, and goes right before
it: so the last letter is always followed by `|`. The answer is not shown: as many blanks ask for it as there are
letters.

Source: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (arXiv 2403.17844), selective
copying of MAD; `generate_copying_instance` in `mad/data/instances.py` of its code. There the places of the
blanks come from a global generator that the data's seed does not set; here from the example's own key. The task
is that of Gu and Dao 2023, "Mamba" (arXiv 2312.00752), section 4.1.1: `task.length=4113` has its 4096 tokens of
letters and blanks.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.strings import letter
from sandbox.tasks.task import Example, TaskConfig, TokenMeaning

BLANK, COPY = range(2)
FIRST_LETTER = 2


@dataclass(unsafe_hash=True)
class SelectiveCopyConfig(TaskConfig):
    """Copying of letters among blanks."""

    vocab_size: int = 16
    """Number of tokens: the blank, the one that says to copy, and the letters."""
    length: int = 256
    """Tokens of a sequence, those of the answer included."""
    num_letters: int = 16
    """Letters that are copied."""

    def __post_init__(self) -> None:
        check_whole_number("task.vocab_size", self.vocab_size, minimum=FIRST_LETTER + 1)
        check_whole_number("task.length", self.length, minimum=3)
        check_whole_number("task.num_letters", self.num_letters, minimum=1)
        needed = 2 * self.num_letters + 1
        if self.length < needed:
            raise ValueError(
                f"task.num_letters={self.num_letters} needs task.length >= {needed} (2 x letters + 1), "
                f"got task.length={self.length}"
            )

    @property
    def max_len(self) -> int:
        """T: `length`."""
        return self.length

    @property
    def num_scored(self) -> int:
        """M: the letters."""
        return self.num_letters

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        """The one length."""
        return {"length": (self.length,)}

    def describe_token(self, token: int) -> TokenMeaning:
        """The two marks, then the alphabet."""
        if token < FIRST_LETTER:
            return TokenMeaning("mark", "_|"[token])
        return TokenMeaning("letter", letter(token - FIRST_LETTER))

    def sample(self, key: PRNGKey) -> Example:
        """Draw the letters, and the letter that each blank goes before."""
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
            slices={"length": jnp.int32(self.length)},
        )
