"""N-gram lookup: find a few letters in a string, and write out what follows them.

A string of 5 letters and the n-gram "ar" (`ngram=2`) after it (`key=suffix`); `.` is not scored, padding follows:

    position   0    1    2    3    4    5    6    7    8    9   10
    token     BOS   l    a    r    k    s   SEP   a    r    k    s
    target     .    .    .    .    .    .    .    .    k    s   EOS

With `key=prefix` the n-gram comes first, so that a model knows what to look for while it reads:

    position   0    1    2    3    4    5    6    7    8    9   10   11
    token     BOS   a    r   SEP   l    a    r    k    s   SEP   k    s
    target     .    .    .    .    .    .    .    .    .    k    s   EOS

The answer goes to the end of the string, or has `answer_length` letters, and is teacher-forced. The n-gram
occurs once in the string. If none does, as in strings over tiny alphabets, it is any n-gram, and the answer
follows its first occurrence.

Source: Jelassi et al. 2024, "Repeat After Me: Transformers are Better than State Space Models at Copying"
(arXiv 2402.01032), "prefix n-gram" and "suffix n-gram"; `synthetic_exps/data_utils.py` of its code. Differences:

- the original makes sure that some n-gram occurs once, and then draws from all of them;
- it never draws the last two or three starts that leave a whole answer (two limits are off by one); here all such
  starts are equally likely;
- one string per sequence, padded; the original packs strings into training sequences of 220 tokens.

Its figure trains on up to 30 letters and tests on longer strings, for example
`task.max_length=30 task.test_lengths=[30,60,120,240]`.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_choice, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.strings import BOS, SEP, Piece, StringConfig, mark
from sandbox.tasks.parts.without_replacement import draw_one_among
from sandbox.tasks.task import Example


class Key(enum.Enum):
    """Position of the n-gram that is looked up."""

    prefix = "prefix"
    """Before the string."""
    suffix = "suffix"
    """After the string, right before the answer."""


@dataclass(unsafe_hash=True)
class NgramLookupConfig(StringConfig):
    """Lookup of an n-gram in strings whose length is uniform over `min_length..max_length`."""

    min_length: int = 5
    """Letters of the shortest string: at least `ngram` and one that follows, or `answer_length` of them."""
    ngram: int = 3
    """Letters of the n-gram that is looked up."""
    answer_length: int = 0
    """Letters of every answer; 0 means all that follow the n-gram."""
    key: Key = Key.suffix
    """Position of the n-gram: as a `prefix` of the string, or as its `suffix`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_number("task.ngram", self.ngram, least=1)
        check_whole_number("task.answer_length", self.answer_length, least=0)
        check_choice("task.key", self.key, Key)
        sizes = f"task.ngram={self.ngram}, task.answer_length={self.answer_length}"
        self.check_lengths_suffice(self.ngram + self._shortest_answer, f"for {sizes}")

    @property
    def _shortest_answer(self) -> int:
        return self.answer_length or 1

    @property
    def _longest_answer(self) -> int:
        return self.answer_length or self.max_length - self.ngram

    @property
    def max_len(self) -> int:
        marks = 3 if self.key is Key.prefix else 2
        return marks + self.ngram + self.max_length + self._longest_answer

    @property
    def num_scored(self) -> int:
        return self._longest_answer + 1

    def chance(self, slices: Mapping[str, int]) -> float:
        """As if all starts were equally likely, which they are where no n-gram occurs twice.

        So it is in nearly all strings over many letters.
        """
        longest = self.answer_length or slices["length"] - self.ngram
        return self.chance_of_answer(range(self._shortest_answer, longest + 1))

    def sample(self, key: PRNGKey) -> Example:
        string_key, start_key = jax.random.split(key)
        string = self.draw_string(string_key)
        start = self._draw_start(start_key, string)
        ngram = Piece(jax.lax.dynamic_slice(string.tokens, (start,), (self.ngram,)), jnp.int32(self.ngram))
        after = start + self.ngram
        length = jnp.int32(self.answer_length) if self.answer_length else string.length - after
        answer = Piece(jnp.roll(string.tokens, -after)[: self._longest_answer], length)
        if self.key is Key.prefix:
            prompt = [mark(BOS), ngram, mark(SEP), string, mark(SEP)]
        else:
            prompt = [mark(BOS), string, mark(SEP), ngram]
        return self.write_answer(prompt, answer, slices={"length": string.length})

    def _draw_start(self, key: PRNGKey, string: Piece) -> Int[Array, ""]:
        """Draw the start of an n-gram: one that occurs once if there is any, else the first occurrence of any."""
        starts = jnp.arange(self.max_length - self.ngram + 1)
        occurs = starts <= string.length - self.ngram
        leaves_an_answer = starts <= string.length - self.ngram - self._shortest_answer
        ngrams = string.tokens[starts[:, None] + jnp.arange(self.ngram)[None, :]]
        same = jnp.all(ngrams[:, None] == ngrams[None, :], axis=-1) & occurs[None, :]
        once = leaves_an_answer & (jnp.sum(same, axis=1) == 1)
        candidates = jnp.where(jnp.any(once), once, leaves_an_answer)
        return jnp.argmax(same[draw_one_among(key, candidates)]).astype(jnp.int32)
