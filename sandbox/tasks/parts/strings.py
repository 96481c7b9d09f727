"""Strings of random letters, and answers that are written out letter by letter: what the copying tasks share.

Source: Jelassi et al. 2024, "Repeat After Me: Transformers are Better than State Space Models at Copying"
(arXiv 2402.01032), `synthetic_exps/data_utils.py` of its code. As there, the loss is on the answer and its EOS
only. The original packs strings into training sequences of 220 tokens; here each sequence is one string, padded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.alphabet import AlphabetConfig
from sandbox.tasks.parts.lengths import VariableLengthConfig
from sandbox.tasks.parts.scoring import make_example
from sandbox.tasks.task import Example

PAD, BOS, SEP, EOS = range(4)
FIRST_LETTER = 4


class Piece(NamedTuple):
    """A part of a sequence: the first `length` of some tokens."""

    tokens: Int[Array, " n"]
    length: Int[Array, ""]


def mark(token: int) -> Piece:
    """One of the marks as a piece of a sequence."""
    return Piece(jnp.array([token], dtype=jnp.int32), jnp.int32(1))


@dataclass(unsafe_hash=True)
class StringConfig(AlphabetConfig, VariableLengthConfig):
    """Base of the tasks on strings whose length is uniform over `min_length..max_length`."""

    answers_follow: ClassVar[bool] = True
    answers_are_read: ClassVar[bool] = True
    marks: ClassVar[tuple[str, ...]] = ("PAD", "BOS", "SEP", "EOS")

    min_length: int = 5
    """Letters of the shortest string."""
    max_length: int = 20
    """Letters of the longest string."""

    @property
    def max_len(self) -> int:
        return 2 * self.max_length + 2

    @property
    def num_scored(self) -> int:
        return self.max_length + 1

    def chance(self, slices: Mapping[str, int]) -> float:
        return self.chance_of_answer([slices["length"]])

    def chance_of_answer(self, lengths: Sequence[int]) -> float:
        """The share of EOS or of a letter, the larger, in answers of these numbers of letters, equally likely."""
        eos = sum(1 / (length + 1) for length in lengths) / len(lengths)
        return max(eos, (1 - eos) / self.alphabet_size)

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
            index = jnp.arange(piece.tokens.size)
            position = jnp.where(index < piece.length, start + index, self.max_len)
            tokens = tokens.at[position].set(piece.tokens, mode="drop")
            start = start + piece.length
        first_due = start - answer.length - 1

        index = jnp.arange(self.num_scored)
        letters = jnp.append(answer.tokens, EOS)[: self.num_scored]
        return make_example(
            tokens=tokens,
            positions=first_due + index,
            targets=jnp.where(index < answer.length, letters, EOS),
            used=index <= answer.length,
            slices=slices,
        )
