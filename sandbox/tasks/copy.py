"""Copying: read a string of random letters, then write it out again.

A string of 3 letters; `.` is not scored, and padding follows up to the longest string:

    position   0    1    2    3    4    5    6    7
    token     BOS   c    a    t   SEP   c    a    t
    target     .    .    .    .    c    a    t   EOS

The answer is teacher-forced: whatever the model says, it reads the right letters. So each letter after the
first few can be found by looking up what followed the last few letters in the string.

Source: Jelassi et al. 2024, "Repeat After Me: Transformers are Better than State Space Models at Copying"
(arXiv 2402.01032), the copying experiments on synthetic strings; `synthetic_exps/data_utils.py` of its code.
The loss is on the answer and its EOS only, as there. Differences:

- one string per sequence, padded; the original packs strings into training sequences of 220 tokens;
- the default lengths are shorter than the 8 to 50 letters of the original program;
- accuracy counts letters; the original also reports the share of strings without any error.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sandbox.shapes import PRNGKey
from sandbox.tasks.option_checks import check_whole_number
from sandbox.tasks.task import Example, TaskConfig

PAD, BOS, SEP, EOS = range(4)
FIRST_LETTER = 4


@dataclass(unsafe_hash=True)
class CopyConfig(TaskConfig):
    """Copying of strings whose length is uniform over `min_length..max_length`."""

    min_length: int = 5
    """Letters of the shortest string."""
    max_length: int = 20
    """Letters of the longest string; a sequence has 2 x max_length + 2 tokens."""
    alphabet_size: int = 26
    """Number of different letters, all equally likely; the vocabulary adds PAD, BOS, SEP and EOS."""

    def __post_init__(self) -> None:
        check_whole_number("min_length", self.min_length, minimum=1)
        check_whole_number("max_length", self.max_length, minimum=1)
        check_whole_number("alphabet_size", self.alphabet_size, minimum=1)
        if self.max_length < self.min_length:
            raise ValueError(
                f"task.max_length={self.max_length} must be >= task.min_length, "
                f"got task.min_length={self.min_length}"
            )

    @property
    def vocab_size(self) -> int:
        """N: the letters and the four marks."""
        return FIRST_LETTER + self.alphabet_size

    @property
    def max_len(self) -> int:
        """T: BOS, the string, SEP, the string."""
        return 2 * self.max_length + 2

    @property
    def num_scored(self) -> int:
        """M: the letters and EOS."""
        return self.max_length + 1

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        """Every length of string."""
        return {"length": tuple(range(self.min_length, self.max_length + 1))}

    def sample(self, key: PRNGKey) -> Example:
        """Draw a length, then letters for the longest string, of which the first are used."""
        length_key, letters_key = jax.random.split(key)
        length = jax.random.randint(length_key, (), self.min_length, self.max_length + 1, dtype=jnp.int32)
        letters = jax.random.randint(
            letters_key, (self.num_scored,), FIRST_LETTER, self.vocab_size, dtype=jnp.int32
        )

        time = jnp.arange(self.max_len)
        place = (time - 1) % (length + 1)
        string_and_sep = jnp.where(place < length, letters[place], SEP)
        tokens = jnp.where(time == 0, BOS, jnp.where(time <= 2 * length + 1, string_and_sep, PAD))

        answer = jnp.arange(self.num_scored)
        used = answer <= length
        return Example(
            tokens=tokens,
            positions=jnp.where(used, length + 1 + answer, 0),
            targets=jnp.where(used, jnp.where(answer < length, letters, EOS), 0),
            weights=used.astype(jnp.float32),
            slices={"length": length},
        )
