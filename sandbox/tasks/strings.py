"""Strings of random letters, and answers that are written out letter by letter: what the copying tasks share.

Source: Jelassi et al. 2024, "Repeat After Me: Transformers are Better than State Space Models at Copying"
(arXiv 2402.01032), `synthetic_exps/data_utils.py` of its code. In all of these tasks the loss is on the answer
and its EOS only, as there; the original packs strings into training sequences of 220 tokens, where here each
sequence is one string, padded.
"""

import string
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.lengths import VariableLengthConfig
from sandbox.tasks.task import Example, TokenMeaning

PAD, BOS, SEP, EOS = range(4)
FIRST_LETTER = 4
MARKS = ("PAD", "BOS", "SEP", "EOS")


class Piece(NamedTuple):
    """The first `length` of some tokens."""

    tokens: Int[Array, "n"]
    length: Int[Array, ""]


def mark(token: int) -> Piece:
    """One of the marks as a piece of a sequence."""
    return Piece(jnp.array([token], dtype=jnp.int32), jnp.int32(1))


def letter(number: int) -> str:
    """How a letter is written, from 0: `a` to `z`, then `A` to `Z`, then numbers."""
    return string.ascii_letters[number] if number < len(string.ascii_letters) else str(number)


class StringConfig(VariableLengthConfig):
    """Base of the tasks on strings; a subclass declares the options as fields."""

    alphabet_size: int

    def __post_init__(self) -> None:
        """Refuse impossible lengths and empty alphabets."""
        super().__post_init__()
        check_whole_number("task.alphabet_size", self.alphabet_size, minimum=1)

    @property
    def vocab_size(self) -> int:
        """N: the letters and the four marks."""
        return FIRST_LETTER + self.alphabet_size

    @property
    def max_len(self) -> int:
        """T: BOS, the string, SEP, the answer."""
        return 2 * self.max_length + 2

    @property
    def num_scored(self) -> int:
        """M: the letters of the longest answer, and EOS."""
        return self.max_length + 1

    def describe_token(self, token: int) -> TokenMeaning:
        """Marks by their names, then the alphabet."""
        if token < FIRST_LETTER:
            return TokenMeaning("mark", MARKS[token])
        return TokenMeaning("letter", letter(token - FIRST_LETTER))

    def draw_string(self, key: PRNGKey) -> Piece:
        """Draw a length, then letters for the longest string, of which the first are used."""
        length_key, letters_key = jax.random.split(key)
        letters = jax.random.randint(
            letters_key, (self.max_length,), FIRST_LETTER, self.vocab_size, dtype=jnp.int32
        )
        return Piece(letters, self.draw_length(length_key))

    def write_answer(self, prompt: Sequence[Piece], answer: Piece, slices: dict[str, Int[Array, ""]]) -> Example:
        """The example that shows the prompt and then the answer, teacher-forced.

        The first letter of the answer is due at the last token of the prompt, and EOS at the last letter.
        """
        tokens = jnp.full(self.max_len, PAD, dtype=jnp.int32)
        start = jnp.int32(0)
        for piece in (*prompt, answer):
            place = jnp.arange(piece.tokens.size)
            target_place = jnp.where(place < piece.length, start + place, self.max_len)
            tokens = tokens.at[target_place].set(piece.tokens, mode="drop")
            start = start + piece.length
        first_due = start - answer.length - 1

        place = jnp.arange(self.num_scored)
        used = place <= answer.length
        letters = jnp.append(answer.tokens, EOS)[: self.num_scored]
        return Example(
            tokens=tokens,
            positions=jnp.where(used, first_due + place, 0),
            targets=jnp.where(used, jnp.where(place < answer.length, letters, EOS), 0),
            weights=used.astype(jnp.float32),
            slices=slices,
        )
