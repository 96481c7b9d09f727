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

- one data set may mix several difficulties, drawn at random for each example; Zoology takes them in turn;
- the filler comes from the example's own key; Zoology's from a global generator that its seed does not set;
- the vocabulary need only hold the keys and values; Zoology also wants it larger than the sequence;
- several passes work: there, `num_passes` is an argument with which the code cannot run.

`task=zoology_iclr_fig2` and `task=based_fig2` are the data of its two published figures.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_choice, check_positive_number, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.filler import Filler, draw_filler
from sandbox.tasks.key_value import KeyValueConfig
from sandbox.tasks.mixture import Difficulty, MixtureConfig
from sandbox.tasks.queries import Context, Queries, draw_slots, write_sequence
from sandbox.tasks.task import Example
from sandbox.tasks.without_replacement import draw_uniform


@dataclass(unsafe_hash=True)
class MQARConfig(KeyValueConfig, MixtureConfig):
    """Multi-query associative recall over a mixture of difficulties.

    `length`, `pairs` and `weights` each take one number or a list. Lists have equal lengths, an entry per
    difficulty; a number holds for all difficulties. The same for `test_lengths` and `test_pairs`.
    """

    vocab_size: int = 256
    """Number of tokens: 0 is padding and filler, keys are the rest of the lower half, values the upper."""
    length: Any = 64
    """Tokens of a sequence (int or list of int): even, at least 4 per pair. Shorter ones are padded."""
    pairs: Any = (4, 8, 16)
    """Key-value pairs of a sequence (int or list of int), each of which is queried once."""
    weights: Any = 1
    """Relative frequency of each difficulty (positive number or list of them), in any unit. One number: all
    are equally frequent."""
    power_a: float = 0.01
    """Concentration of queries after the context: slot i (from 0) is drawn in proportion to
    (i+1)^(power_a-1). Small values ask soon, 1 asks uniformly."""
    filler: Filler = Filler.zeros
    """What stands between the queries: `zeros`, `random` tokens, or `random_no_live_keys`."""
    num_passes: int = 1
    """How often the context lists the pairs, in the same order each time (Arora et al. 2024, "Just read twice",
    arXiv 2407.05483). Each further pass needs 2 more tokens per pair."""
    test_lengths: Any = ()
    """Lengths that are tested (int or list of int), each by itself. Neither these nor `test_pairs` given: tested
    as trained."""
    test_pairs: Any = ()
    """Numbers of pairs that are tested (int or list of int), an entry for each of `test_lengths`."""

    def __post_init__(self) -> None:
        KeyValueConfig.__post_init__(self)
        check_positive_number("task.power_a", self.power_a)
        self.power_a = float(self.power_a)
        check_choice("task.filler", self.filler, Filler)
        check_whole_number("task.num_passes", self.num_passes, minimum=1)
        MixtureConfig.__post_init__(self)

    def refuse_impossible(self, difficulty: Difficulty, length_name: str, pairs_name: str) -> None:
        """Refuse odd lengths, and more pairs than there is room or are keys for."""
        length, pairs, _ = difficulty
        if length % 2:
            raise ValueError(f"task.{length_name}={length} must be even")
        tokens_per_pair = 2 * self.num_passes + 2
        if tokens_per_pair * pairs > length:
            passes = f" at task.num_passes={self.num_passes}" if self.num_passes > 1 else ""
            raise ValueError(
                f"task.{pairs_name}={pairs} needs task.{length_name} >= {tokens_per_pair * pairs} "
                f"({tokens_per_pair} x pairs{passes}), got task.{length_name}={length}"
            )
        self.refuse_more_pairs_than_keys(pairs, pairs_name)

    def sample(self, key: PRNGKey) -> Example:
        """Draw a difficulty, then keys, values and slots for the most pairs, of which the first are used."""
        difficulty_key, keys_key, values_key, slots_key, filler_key = jax.random.split(key, 5)
        length, pairs = self.draw_difficulty(difficulty_key)
        keys = 1 + draw_uniform(keys_key, self.num_keys, self.most_pairs)
        values = self.first_value + draw_uniform(values_key, self.num_values, self.most_pairs)
        used = jnp.arange(self.most_pairs) < pairs

        once = jnp.stack([keys, values], axis=1).reshape(-1)
        place = jnp.arange(self.num_passes * once.size)
        context = Context(once[place % (2 * pairs)], 2 * pairs * self.num_passes)

        num_slots = (length - context.length) // 2
        most_slots = max((d.length - 2 * d.pairs * self.num_passes) // 2 for d in self.mixture)
        slots = draw_slots(slots_key, num_slots, most_slots, self.power_a, self.most_pairs)
        filler = draw_filler(filler_key, self.filler, self.max_len, self.vocab_size, keys, used)
        queries = Queries(keys[:, None], values, used)
        return write_sequence(context, queries, slots, filler, length, pairs)
