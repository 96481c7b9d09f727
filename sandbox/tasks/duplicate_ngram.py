"""Copying of strings in which some letters occur twice: a model that navigates by n-grams gets lost there.

A string of 8 letters with "an" (`ngram=2`) in it twice; `.` is not scored, and padding follows:

    position   0    1    2    3    4    5    6    7    8    9   10   11   12  ...  16   17
    token     BOS   b    a    n    d    s    a    n    k   SEP   b    a    n  ...   n    k
    target     .    .    .    .    .    .    .    .    .    b    a    n    d  ...   k   EOS

The task is `copy`, except that one n-gram of the string is written over another one, the two drawn uniformly
among all pairs that do not overlap. With `ngram=0` nothing is written: plain copying.

Source: Jelassi et al. 2024, "Repeat After Me: Transformers are Better than State Space Models at Copying"
(arXiv 2402.01032), `duplicate_ngram` in `synthetic_exps/data_utils.py` of its code. The original uses it for
tests alone, of models that were trained to copy: `task.ngram=0 task.test_ngrams=[1,2,3,4,5,6,7]`. Differences:

- the original's two n-grams may overlap or be equal already, which leaves the string as it was;
- it replaces every occurrence of the n-gram that is overwritten;
- one string per sequence, padded; the original packs strings into training sequences of 220 tokens.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_whole_number, check_whole_numbers
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.strings import BOS, SEP, Piece, StringConfig, mark
from sandbox.tasks.task import Example, TaskConfig


@dataclass(unsafe_hash=True)
class DuplicateNgramConfig(StringConfig):
    """Copying of strings with a repeated n-gram; their length is uniform over `min_length..max_length`."""

    min_length: int = 10
    """Letters of the shortest string: at least twice every n-gram of training and tests."""
    ngram: int = 3
    """Letters of the n-gram that is repeated; 0 means none, which is plain copying."""
    test_ngrams: Any = ()
    """Values of `ngram` that are tested, each by itself (list of int). None given: tested as trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_number("task.ngram", self.ngram, least=0)
        check_whole_numbers("task.test_ngrams", self.test_ngrams, least=0)
        longest = max(self.ngram, *self.test_ngrams, 0)
        self.check_lengths_suffice(2 * longest, f"twice the longest n-gram, {longest}")

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        return {**super().slice_values, "ngram": (self.ngram,)}

    def test_tasks(self) -> tuple[TaskConfig, ...]:
        """One task for each pair of a tested length and a tested n-gram."""
        ngrams: list[dict[str, Any]] = [{"ngram": n, "test_ngrams": ()} for n in self.test_ngrams]
        return tuple(
            dataclasses.replace(task, **ngram) for task in super().test_tasks() for ngram in ngrams or [{}]
        )

    def sample(self, key: PRNGKey) -> Example:
        string_key, starts_key = jax.random.split(key)
        string = self.draw_string(string_key)
        if self.ngram:
            string = self._repeat_ngram(starts_key, string)
        prompt = [mark(BOS), string, mark(SEP)]
        slices = {"length": string.length, "ngram": jnp.int32(self.ngram)}
        return self.write_answer(prompt, answer=string, slices=slices)

    def _repeat_ngram(self, key: PRNGKey, string: Piece) -> Piece:
        """Write an n-gram over another one, which may stand before or after it."""
        # Two different starts from a range that is n-1 shorter; adding n-1 to the larger keeps the n-grams apart.
        num_starts = string.length - 2 * self.ngram + 2
        first_key, second_key = jax.random.split(key)
        read = jax.random.randint(first_key, (), 0, num_starts, dtype=jnp.int32)
        write = jax.random.randint(second_key, (), 0, num_starts - 1, dtype=jnp.int32)
        write = jnp.where(write >= read, write + 1, write)
        apart = self.ngram - 1
        read, write = jnp.where(read > write, read + apart, read), jnp.where(write > read, write + apart, write)
        ngram = jax.lax.dynamic_slice(string.tokens, (read,), (self.ngram,))
        return Piece(jax.lax.dynamic_update_slice(string.tokens, ngram, (write,)), string.length)
