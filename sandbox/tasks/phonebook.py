"""Phone book: read names with their numbers, then write out the number of one name.

Two entries, names of two letters and numbers of three digits (`name_size=2`, `number_size=3`); `.` is not scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15  16  17  18  19
    token      |   c   a   :   7   0   4   |   a   a   :   6   5   5   ?   c   a   :   7   0
    target     .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   .   7   0   4

The names of a book differ, but share letters: all of a name is needed. The first digit is 6 to 9, the others
are 0 to 9, all equally likely, and each is shown after it is due. With `shots`, other names of the book come
before the last one, asked for and answered in the same way, but not scored.

With `num_passes=2` a model reads twice, book and question, before it answers. A model whose state is too small
for the book knows what to keep when it reads it again. In `mqar` only the pairs are repeated, and the questions
come after the last pass.

Source: Jelassi et al. 2024, "Repeat After Me: Transformers are Better than State Space Models at Copying"
(arXiv 2402.01032), the phone book; `PhoneBookDataset` in `pretrained_exps/data_utils.py` of its code. Its numbers
are `task.number_size=10 task.shots=2`. Reading twice is the JRT-Prompt of Arora et al. 2024, "Just read twice:
closing the recall gap for recurrent language models" (arXiv 2407.05483). Differences:

- it asks pretrained models, in text; here a name is some random letters instead of a first and a last name;
- names of a book always differ; there they may coincide by chance;
- models are trained on the task, and so need no shots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from sandbox.option_checks import LARGEST, check_at_most, check_needs, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.alphabet import AlphabetConfig
from sandbox.tasks.parts.mixture import Difficulty, MixtureConfig
from sandbox.tasks.parts.queries import Count
from sandbox.tasks.parts.without_replacement import draw_among, draw_uniform
from sandbox.tasks.task import Example, TokenMeaning

PAD, ENTRY, ASKED, COLON = range(4)
FIRST_DIGIT = 4
FIRST_LETTER = 14
LEADING = 6
"""The smallest digit that a number begins with."""


@dataclass(unsafe_hash=True)
class PhonebookConfig(MixtureConfig, AlphabetConfig):
    """The number of one name, over a mixture of numbers of entries, `pairs`."""

    answers_follow: ClassVar[bool] = True
    answers_are_read: ClassVar[bool] = True
    marks: ClassVar[tuple[str, ...]] = ("PAD", "|", "?", ":", *"0123456789")

    pairs: Any = (4, 8)
    """Entries of a book (int or list of int), of which one is asked for."""
    name_size: int = 2
    """Letters of a name."""
    number_size: int = 4
    """Digits of a number."""
    shots: int = 0
    """Other entries that are asked for, and answered, before the one that is scored."""
    num_passes: int = 1
    """Number of times that book, shots and question are read before the answer is due."""

    def __post_init__(self) -> None:
        for name in ("name_size", "number_size", "num_passes"):
            check_whole_number(f"task.{name}", getattr(self, name), least=1)
        check_whole_number("task.shots", self.shots, least=0)
        check_whole_number("task.alphabet_size", self.alphabet_size, least=1)
        check_at_most("task.alphabet_size ** task.name_size", self._num_names, LARGEST)
        super().__post_init__()

    @property
    def _num_names(self) -> int:
        return self.alphabet_size**self.name_size

    @property
    def _line_size(self) -> int:
        """Tokens of an entry: the mark before it, the name, the colon and the number."""
        return 2 + self.name_size + self.number_size

    def check_difficulty(self, difficulty: Difficulty, length_key: str, pairs_key: str) -> None:
        """Reject more entries than names, and fewer than are asked for."""
        pairs = difficulty.pairs
        asking = f"{pairs_key}={pairs}, task.name_size={self.name_size}"
        because = f"{self._num_names} names"
        if pairs > self._num_names:
            raise ValueError(f"{asking} needs a larger task.alphabet_size than {self.alphabet_size} ({because})")
        check_needs(f"task.shots={self.shots}", pairs_key, pairs, self.shots + 1, "shots + 1")

    def length_of(self, pairs: int) -> int:
        """What is read in all passes, and the digits that are shown."""
        return self.num_passes * self._prompt_length(pairs) + self.number_size - 1

    def _prompt_length(self, pairs: Count) -> Count:
        """Tokens of all entries, the shots, and the question up to the colon."""
        return (pairs + self.shots + 1) * self._line_size - self.number_size

    @property
    def num_scored(self) -> int:
        return self.number_size

    def chance(self, slices: Mapping[str, int]) -> float:
        """One of the digits that a number may begin with."""
        return (1 / (10 - LEADING) + (self.number_size - 1) / 10) / self.number_size

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        """The digits of one of the entries, or of another one with the same digit there."""
        right_entry = 1 / slices["pairs"]
        return right_entry + (1 - right_entry) * self.chance(slices)

    def describe_token(self, token: int) -> TokenMeaning:
        meaning = super().describe_token(token)
        return meaning._replace(kind="digit") if FIRST_DIGIT <= token < FIRST_LETTER else meaning

    def sample(self, key: PRNGKey) -> Example:
        difficulty_key, names_key, digits_key, asked_key = jax.random.split(key, 4)
        length, pairs = self.draw_difficulty(difficulty_key)
        most, index = self.most_pairs, jnp.arange(self.number_size)
        names = draw_uniform(names_key, self._num_names, most)
        letters = names[:, None] // self.alphabet_size ** jnp.arange(self.name_size) % self.alphabet_size
        least = jnp.where(index == 0, LEADING, 0)
        digits = jax.random.randint(digits_key, (most, self.number_size), least, 10, dtype=jnp.int32)
        asked = draw_among(asked_key, jnp.arange(most) < pairs, self.shots + 1)

        line = jnp.arange(most + self.shots + 1)
        question = line - pairs  # counted from 0; negative in the book
        entry = jnp.where(question < 0, line, asked[jnp.clip(question, 0, self.shots)])
        columns = [
            jnp.where(question < 0, ENTRY, ASKED)[:, None],
            FIRST_LETTER + letters[entry],
            jnp.full((line.size, 1), COLON),
            FIRST_DIGIT + digits[entry],
        ]
        once = jnp.concatenate(columns, axis=1).reshape(-1).astype(jnp.int32)
        time, prompt_length = jnp.arange(self.max_len), self._prompt_length(pairs)
        before_last = (self.num_passes - 1) * prompt_length
        tokens = once[jnp.where(time < before_last, time % prompt_length, time - before_last)]
        return Example(
            tokens=jnp.where(time < length, tokens, PAD),
            positions=length - self.number_size + index,
            targets=FIRST_DIGIT + digits[asked[-1]],
            weights=jnp.ones(self.number_size),
            slices={"length": length, "pairs": pairs},
        )
