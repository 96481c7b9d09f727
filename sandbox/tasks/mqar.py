"""Multi-query associative recall: read key-value pairs, then name the value of each key that comes back.

Two pairs in 12 tokens, vocabulary 16 (keys 1..7, values 8..15), filler `zeros`; `.` is not scored:

    position   0   1   2   3   4   5   6   7   8   9  10  11
    token      5  12   3   9   5   0   0   0   3   0   0   0
    target     .   .   .   .  12   .   .   .   9   .   .   .

The context lists the pairs; queries follow at even offsets, mostly soon after the context. The answer is due
at the query itself and is never shown, so the token after a query is filler.

Source: Arora et al. 2023, "Zoology: Measuring and Improving Recall in Efficient Language Models" (arXiv
2312.04927), the synthetic MQAR data; `zoology/data/multiquery_ar.py`. The distribution is that of Zoology's
code, with these differences:

- one data set may mix several difficulties, drawn for each example; Zoology takes them one after another;
- the filler is drawn from the example's own key; Zoology's from a global generator that its seed does not set;
- the vocabulary must only hold the keys and values; Zoology also requires it to exceed the sequence length;
- several passes work; in that code the argument `num_passes` raises an error.

`task=zoology_iclr_fig2` and `task=based_fig2` are the data of its two published figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_even, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.key_value import KeyValueConfig
from sandbox.tasks.parts.mixture import Difficulty
from sandbox.tasks.parts.queries import Content, Count, QueriesConfig
from sandbox.tasks.parts.without_replacement import draw_uniform
from sandbox.tasks.task import Example


@dataclass(unsafe_hash=True)
class MQARConfig(QueriesConfig, KeyValueConfig):
    """Multi-query associative recall over a mixture of difficulties.

    `length`, `pairs` and `weights` each take one number or a list. Lists have equal lengths, an entry per
    difficulty; a number holds for all difficulties. The same for `test_lengths` and `test_pairs`.
    """

    length: Any = 64
    """Tokens of a sequence (int or list of int): even, at least 4 per pair. Shorter ones are padded."""
    pairs: Any = (4, 8, 16)
    num_passes: int = 1
    """Number of times the context lists the pairs, in the same order each time (Arora et al. 2024, "Just read
    twice", arXiv 2407.05483). Each further pass needs 2 more tokens per pair."""

    def __post_init__(self) -> None:
        check_whole_number("task.num_passes", self.num_passes, least=1)
        super().__post_init__()

    def context_length(self, pairs: Count) -> Count:
        """A key and a value for each pair, in every pass."""
        return 2 * pairs * self.num_passes

    def check_difficulty(self, difficulty: Difficulty, length_key: str, pairs_key: str) -> None:
        """Reject odd lengths, and more pairs than fit or have keys."""
        check_even(length_key, difficulty.length)
        passes = f" at task.num_passes={self.num_passes}" if self.num_passes > 1 else ""
        because = f"{2 * self.num_passes + 2} x pairs{passes}"
        self.check_room(f"{pairs_key}={difficulty.pairs}", difficulty, length_key, because)
        self.check_keys_suffice(difficulty.pairs, pairs_key)

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / self.num_values

    def sample(self, key: PRNGKey) -> Example:
        difficulty_key, keys_key, values_key, slots_key, filler_key = jax.random.split(key, 5)
        length, pairs = self.draw_difficulty(difficulty_key)
        keys = 1 + draw_uniform(keys_key, self.num_keys, self.most_pairs)
        values = self.first_value + draw_uniform(values_key, self.num_values, self.most_pairs)

        once = jnp.stack([keys, values], axis=1).reshape(-1)
        context = once[jnp.arange(self.num_passes * once.size) % (2 * pairs)]
        content = Content(context, keys[:, None], values, keys, live=jnp.arange(self.most_pairs) < pairs)
        return self.write_sequence(slots_key, filler_key, length, pairs, content)
