"""Needle in a haystack: recall one pair after a long gap.

A gap of 6 with one distractor pair, 9 tokens, vocabulary 16 (keys 1..7, values 8..15), filler `zeros`; `.` is
not scored:

    position   0   1   2   3   4   5   6   7   8
    token      5  12   0   0   3   9   0   0   5
    target     .   .   .   .   .   .   .   .  12

The needle comes first, its key again at the end, and accuracy is reported by the gap between them: how long a
model keeps what it has read. Distractors are further pairs, of other keys, at positions in the gap that are drawn
uniformly, at even distances from the needle. Without distractors and with filler `zeros`, keeping the only value
is enough.

Source: defined here, after the retrieval of one fact from a long text in Hsieh et al. 2024, "RULER: What's
the Real Context Size of Your Long-Context Language Models?" (arXiv 2404.06654), single needle, and with
distractors its several keys. There the filler is English text or repeated sentences, and the depth of the
needle varies at a fixed length; here the needle is first, so that only the gap varies.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_choice, check_needs, check_whole_number, check_whole_numbers
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.filler import Filler, draw_filler
from sandbox.tasks.parts.key_value import KeyValueConfig
from sandbox.tasks.parts.number_or_list import entries
from sandbox.tasks.parts.without_replacement import draw_among, draw_uniform
from sandbox.tasks.task import Example, TaskConfig


@dataclass(unsafe_hash=True)
class NeedleConfig(KeyValueConfig):
    """Recall of one pair after a gap."""

    vocab_size: int = 64
    gap: Any = (16, 32, 64, 128)
    """Tokens between the pair and its query (int or list of int), all equally likely."""
    distractors: int = 0
    """Further pairs in the gap, which are not queried. Each needs 2 tokens of the shortest gap."""
    filler: Filler = Filler.random_no_live_keys
    """Filler of the gap: `zeros`, `random` tokens, or `random_no_live_keys`."""
    test_gaps: Any = ()
    """Gaps that are tested, each by itself (list of int). None given: tested as trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_number("task.distractors", self.distractors, least=0)
        check_choice("task.filler", self.filler, Filler)
        if self.gap == ():
            raise ValueError("task.gap=[] must have at least one entry")
        check_whole_numbers("task.test_gaps", self.test_gaps, least=0)
        asking = f"task.distractors={self.distractors}"
        for key, gap in (*entries("task.gap", self.gap), *entries("task.test_gaps", self.test_gaps)):
            check_whole_number(key, gap, least=0)
            check_needs(asking, key, gap, 2 * self.distractors, "2 x distractors")
        because = "2 x distractors + 4"
        check_needs(asking, "task.vocab_size", self.vocab_size, 2 * self.distractors + 4, because)

    @property
    def gaps(self) -> tuple[int, ...]:
        """The different gaps, ascending."""
        return tuple(sorted({gap for _, gap in entries("task.gap", self.gap)}))

    @property
    def max_len(self) -> int:
        return self.gaps[-1] + 3

    @property
    def num_scored(self) -> int:
        return 1

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        return {"gap": self.gaps}

    def test_tasks(self) -> tuple[TaskConfig, ...]:
        """One task for each tested gap; without any, tested as trained."""
        return tuple(dataclasses.replace(self, gap=gap, test_gaps=()) for gap in self.test_gaps) or (self,)

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.num_values

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        return 1 / (1 + self.distractors)

    def sample(self, key: PRNGKey) -> Example:
        gap_key, keys_key, values_key, slots_key, filler_key = jax.random.split(key, 5)
        gap = jnp.array(self.gaps)[jax.random.randint(gap_key, (), 0, len(self.gaps))]
        num_pairs = 1 + self.distractors
        keys = 1 + draw_uniform(keys_key, self.num_keys, num_pairs)
        values = self.first_value + draw_uniform(values_key, self.num_values, num_pairs)

        all_live = jnp.ones(num_pairs, dtype=bool)
        filler = draw_filler(filler_key, self.filler, self.max_len, self.vocab_size, keys, all_live)
        slots = draw_among(slots_key, jnp.arange(self.gaps[-1] // 2) < gap // 2, self.distractors)
        positions = jnp.append(0, 2 + 2 * slots)  # of the keys: the needle first
        query = gap + 2
        tokens = filler.at[positions].set(keys).at[positions + 1].set(values).at[query].set(keys[0])
        return Example(
            tokens=jnp.where(jnp.arange(self.max_len) <= query, tokens, 0),
            positions=query[None],
            targets=values[:1],
            weights=jnp.ones(1),
            slices={"gap": gap},
        )
