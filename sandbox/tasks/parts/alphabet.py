"""Vocabularies of a few marks, then letters."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sandbox.option_checks import check_whole_number
from sandbox.tasks.task import TaskConfig, TokenMeaning


@dataclass(unsafe_hash=True)
class AlphabetConfig(TaskConfig):
    """Base of tasks whose vocabulary is some marks, then `alphabet_size` letters."""

    marks: ClassVar[tuple[str, ...]]
    """How the first tokens, which structure the sequence, are written."""

    alphabet_size: int = 26
    """Number of different letters, all equally likely; the vocabulary adds the marks."""

    def __post_init__(self) -> None:
        check_whole_number("task.alphabet_size", self.alphabet_size, least=1)
        super().__post_init__()

    @property
    def vocab_size(self) -> int:
        return len(self.marks) + self.alphabet_size

    def describe_token(self, token: int) -> TokenMeaning:
        return mark_or_letter(token, self.marks)


def mark_or_letter(token: int, marks: Sequence[str], kind: str = "letter") -> TokenMeaning:
    """The meaning of a token in a vocabulary of `marks` and then letters: `a` to `z`, `A` to `Z`, then numbers."""
    if token < len(marks):
        return TokenMeaning("mark", marks[token])
    number = token - len(marks)
    return TokenMeaning(kind, string.ascii_letters[number] if number < len(string.ascii_letters) else str(number))
