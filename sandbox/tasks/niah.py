"""Needle in a haystack, as RULER hides one: somewhere in a text stands a key with its value; name the value.

A text of 8 words around the needle, 13 tokens (`|` is 1, `?` is 2, words 3..22, keys 23..42, values 43..63),
`variant=single_1`; `.` is not scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11  12
    token      3   4   5   |  30  51   6   7   3   4   5   ?  30
    target     .   .   .   .   .   .   .   .   .   .   .   .  51

A needle is the mark `|`, a key, and its value; the question is the mark `?` and the key. The needle stands
before, after or between words, all places equally likely, and accuracy is reported by the quarter of the text,
`depth`, in which it does. The three variants:

- `single_1`: the text repeats a phrase of 5 words, the same in all sequences, and a value is one token;
- `single_2`: the words of the text are random, the k-th word 1/k times as frequent as the first;
- `single_3`: such a text, and a value of `uuid_size` tokens, each of them due, and shown after it is due.

With `distractors` there are further needles with other keys (`needles`), or values alone (`values`).

Source: Hsieh et al. 2024, "RULER: What's the Real Context Size of Your Long-Context Language Models?" (arXiv
2404.06654), single needles 1 to 3, those of table 2 of Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464);
`distractors=3` in `single_2` is its several keys 1. Differences:

- there all is text. A token stands here for each of the five sentences that are repeated, for the sentence that
  introduces a number, for a key of two words and for a number of seven digits; a UUID has 32 digits there;
- essays are there the text of `single_2` and `single_3`, and needles stand between sentences;
- the values that stand alone are ours.

In `needle` the pair comes first and has no mark, what is varied is the gap after it, and filler may look like keys
and values. Here the length of the sequence and the place of the needle vary, and what is a needle is marked.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_choice, check_needs, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.lengths import VariableLengthConfig
from sandbox.tasks.parts.without_replacement import draw_among, draw_uniform
from sandbox.tasks.task import Example, TokenMeaning

PAD, NEEDLE, QUESTION = range(3)
FIRST_WORD = 3
PHRASE = 5
QUARTERS = 4


class Variant(enum.Enum):
    """Which text, and which values."""

    single_1 = "single_1"
    """A phrase repeated, values of one token."""
    single_2 = "single_2"
    """Varied text, values of one token."""
    single_3 = "single_3"
    """Varied text, values of many tokens."""


class Distractor(enum.Enum):
    """What stands in the text besides the needle."""

    needles = "needles"
    """Needles with other keys."""
    values = "values"
    """Values without mark and key."""


@dataclass(unsafe_hash=True)
class NIAHConfig(VariableLengthConfig):
    """One needle in texts whose length is uniform over `min_length..max_length`."""

    answers_follow: ClassVar[bool] = True
    answers_are_read: ClassVar[bool] = True

    vocab_size: int = 64
    """Number of tokens: 0 is padding, 1 and 2 are marks; of the rest a third each for words, keys and values."""
    min_length: int = 32
    """Tokens of the shortest sequence: the text with its needles, the question, and all answers but the last."""
    max_length: int = 64
    """Tokens of the longest sequence."""
    variant: Variant = Variant.single_2
    """Text and values: `single_1`, `single_2` or `single_3`."""
    uuid_size: int = 8
    """Tokens of a value in `single_3`."""
    distractors: int = 0
    """What else is hidden in the text, so many times."""
    distractor: Distractor = Distractor.needles
    """What it is: `needles` with other keys, or `values` alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_number("task.vocab_size", self.vocab_size, least=6)
        check_choice("task.variant", self.variant, Variant)
        check_choice("task.distractor", self.distractor, Distractor)
        check_whole_number("task.uuid_size", self.uuid_size, least=1)
        if self.variant is not Variant.single_3 and self.uuid_size != type(self).uuid_size:
            setting = f"task.uuid_size={self.uuid_size} needs task.variant=single_3"
            raise ValueError(f"{setting}, not {self.variant.name}")
        check_whole_number("task.distractors", self.distractors, least=0)
        asking, thirds = f"task.distractors={self.distractors}", max(PHRASE, 1 + self.distractors)
        because = f"3 marks, and 3 x the larger of {PHRASE} words and distractors + 1"
        check_needs(asking, "task.vocab_size", self.vocab_size, FIRST_WORD + 3 * thirds, because)
        because = f"needles, question and {QUARTERS - 1} words at task.variant={self.variant.name}, {asking}"
        self.check_lengths_suffice(self._without_words + QUARTERS - 1, because)

    @property
    def value_size(self) -> int:
        """Tokens of a value."""
        return self.uuid_size if self.variant is Variant.single_3 else 1

    @property
    def _distractor_size(self) -> int:
        return self.value_size + (2 if self.distractor is Distractor.needles else 0)

    @property
    def _without_words(self) -> int:
        """Tokens of a sequence that are not text: the needle, the question, what is shown, and distractors."""
        return 2 * (2 + self.value_size) - 1 + self.distractors * self._distractor_size

    @property
    def _third(self) -> int:
        """Number of words and of keys in the vocabulary; that of values may be larger by up to 2."""
        return (self.vocab_size - FIRST_WORD) // 3

    @property
    def first_key(self) -> int:
        """Keys are the tokens from this one on."""
        return FIRST_WORD + self._third

    @property
    def first_value(self) -> int:
        """Values are made of the tokens from this one on."""
        return self.first_key + self._third

    @property
    def max_len(self) -> int:
        return self.max_length

    @property
    def num_scored(self) -> int:
        return self.value_size

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        """`depth=25`: between 25 and 50 per cent of the words stand before the needle."""
        return {**super().slice_values, "depth": tuple(100 * quarter // QUARTERS for quarter in range(QUARTERS))}

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / (self.vocab_size - self.first_value)

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        """The value of the needle or of a distractor, which may have the same token there."""
        right = 1 / (1 + self.distractors)
        return right + (1 - right) * self.chance(slices)

    def describe_token(self, token: int) -> TokenMeaning:
        if token < FIRST_WORD:
            return TokenMeaning("mark", ("PAD", "|", "?")[token])
        if token < self.first_key:
            return TokenMeaning("word", str(token))
        return TokenMeaning("key" if token < self.first_value else "value", str(token))

    def sample(self, key: PRNGKey) -> Example:
        length_key, keys_key, values_key, text_key, place_key = jax.random.split(key, 5)
        length, hidden = self.draw_length(length_key), 1 + self.distractors
        num_words, most_words = length - self._without_words, self.max_length - self._without_words
        keys = self.first_key + draw_uniform(keys_key, self._third, hidden)
        shape = (hidden, self.value_size)
        values = jax.random.randint(values_key, shape, self.first_value, self.vocab_size, dtype=jnp.int32)

        # The text is a row of units: words of one token, and what is hidden among them, the needle first.
        unit = jnp.arange(most_words + hidden)
        places = draw_among(place_key, unit < num_words + hidden, hidden)
        sizes = jnp.full(hidden, self._distractor_size).at[0].set(2 + self.value_size)
        size_of = jnp.ones_like(unit).at[places].set(sizes)
        starts = jnp.cumsum(size_of) - size_of
        words_before = unit - jnp.sum(places[None, :] < unit[:, None], axis=1)

        beyond = self.max_length
        tokens = jnp.full(beyond, PAD, dtype=jnp.int32)
        text = self._draw_text(text_key, most_words + hidden)
        tokens = tokens.at[jnp.where(unit < num_words + hidden, starts, beyond)].set(
            text[words_before], mode="drop"
        )
        needles = jnp.concatenate([jnp.full((hidden, 1), NEEDLE), keys[:, None], values], axis=1)
        ends = starts[places] + sizes
        index = jnp.arange(-2 - self.value_size, 0)[None, :]  # counted from the end, where values stand
        written = jnp.where(index >= -sizes[:, None], ends[:, None] + index, beyond)
        tokens = tokens.at[written].set(needles, mode="drop")
        first_due = length - self.value_size
        question = jnp.concatenate([jnp.array([QUESTION]), keys[:1], values[0, :-1]])
        tokens = tokens.at[first_due - 1 + jnp.arange(question.size)].set(question)
        return Example(
            tokens=tokens,
            positions=first_due + jnp.arange(self.value_size),
            targets=values[0],
            weights=jnp.ones(self.value_size),
            slices={
                "length": length,
                "depth": 100 // QUARTERS * (QUARTERS * words_before[places[0]] // (num_words + 1)),
            },
        )

    def _draw_text(self, key: PRNGKey, count: int) -> Int[Array, " count"]:
        """Draw so many words, in the order in which they are read."""
        if self.variant is Variant.single_1:
            return FIRST_WORD + jnp.arange(count, dtype=jnp.int32) % PHRASE
        frequency = 1 / jnp.arange(1, self._third + 1)
        drawn = jax.random.choice(key, self._third, (count,), p=frequency / frequency.sum())
        return FIRST_WORD + drawn.astype(jnp.int32)
