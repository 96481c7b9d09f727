"""Queries after a context, at positions that follow a power law: what the MQAR family shares.

Source: Arora et al. 2023, "Zoology: Measuring and Improving Recall in Efficient Language Models" (arXiv
2312.04927); `zoology/data/multiquery_ar.py` of its code, from which its other MQAR files have the law too.
"""

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from sandbox.option_checks import check_choice, check_needs, check_positive_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.filler import Filler, draw_filler
from sandbox.tasks.parts.mixture import Difficulty, MixtureConfig
from sandbox.tasks.parts.scoring import make_example
from sandbox.tasks.parts.without_replacement import draw_weighted
from sandbox.tasks.task import Example

Count = TypeVar("Count", int, Int[Array, ""])


class Content(NamedTuple):
    """What a sequence with the most pairs shows and asks; one with fewer uses the first of everything."""

    context: Int[Array, "C"]
    """The tokens that list the pairs."""
    queries: Int[Array, "M W"]
    """The W tokens of each query; the answer is due at the last."""
    answers: Int[Array, "M"]
    keys: Int[Array, "K"]
    """The different tokens of keys."""
    live: Bool[Array, "K"]
    """Which of them occur in this sequence."""


@dataclass(unsafe_hash=True)
class QueriesConfig(MixtureConfig):
    """Base of tasks that list pairs, then query each of them somewhere in the filler that follows."""

    difficulty_options: ClassVar[tuple[str, ...]] = ("length", "pairs")
    test_options: ClassVar[tuple[str, ...]] = ("test_lengths", "test_pairs")
    query_size: ClassVar[int] = 1
    answers_follow: ClassVar[bool] = True
    """W: tokens of a query. Its slot has one more token, which is filler: the answer is never shown."""

    length: Any = 64
    """Tokens of a sequence (int or list of int). Shorter ones are padded."""
    power_a: float = 0.01
    """Concentration of queries after the context: slot i (from 0) is drawn in proportion to
    (i+1)^(power_a-1). Small values ask soon, 1 asks uniformly."""
    filler: Filler = Filler.zeros
    """What stands between the queries: `zeros`, `random` tokens, or `random_no_live_keys`."""
    test_lengths: Any = ()
    """Lengths that are tested (int or list of int), an entry for each of `test_pairs`."""

    def __post_init__(self) -> None:
        check_positive_number("task.power_a", self.power_a)
        self.power_a = float(self.power_a)
        check_choice("task.filler", self.filler, Filler)
        super().__post_init__()

    @abc.abstractmethod
    def context_length(self, pairs: Count) -> Count:
        """Number of tokens that list this number of pairs."""

    def check_room(self, asking: str, difficulty: Difficulty, length_key: str, because: str) -> None:
        """Reject a length without a slot for every pair; `asking` and `because` are those of `check_needs`."""
        needed = self.context_length(difficulty.pairs) + (self.query_size + 1) * difficulty.pairs
        check_needs(asking, length_key, difficulty.length, needed, because)

    def write_sequence(
        self,
        slots_key: PRNGKey,
        filler_key: PRNGKey,
        length: Int[Array, ""],
        pairs: Int[Array, ""],
        content: Content,
    ) -> Example:
        """Draw slots and filler; write the context, the filler with the queries in their slots, then padding."""
        slot_size = self.query_size + 1
        context_length = self.context_length(pairs)
        num_slots = (length - context_length) // slot_size
        most_slots = max((d.length - self.context_length(d.pairs)) // slot_size for d in self.mixture)
        slots = draw_slots(slots_key, num_slots, most_slots, self.power_a, self.most_pairs)
        filler = draw_filler(filler_key, self.filler, self.max_len, self.vocab_size, content.keys, content.live)

        used = jnp.arange(self.most_pairs) < pairs
        time = jnp.arange(self.max_len)
        context = jnp.pad(content.context, (0, self.max_len - content.context.size))
        tokens = jnp.where(time < context_length, context, filler)
        starts = context_length + slot_size * slots
        positions = starts[:, None] + jnp.arange(self.query_size)[None, :]
        positions = jnp.where(used[:, None], positions, self.max_len)  # unused ones are dropped
        tokens = tokens.at[positions].set(content.queries, mode="drop")
        return make_example(
            tokens=jnp.where(time < length, tokens, 0),
            positions=starts + self.query_size - 1,
            targets=content.answers,
            used=used,
            slices={"length": length, "pairs": pairs},
        )


def draw_slots(
    key: PRNGKey, num_slots: Int[Array, ""], most_slots: int, power_a: float, draws: int
) -> Int[Array, " draws"]:
    """Draw a slot for one query after another, slot i in proportion to (i+1)^(power_a-1) among those left.

    Args:
        num_slots: slots of this sequence.
        most_slots: slots of the sequence with the most.
        power_a: 1 draws uniformly, smaller values prefer the first slots.
        draws: largest number of queries; beyond `num_slots`, slots that this sequence lacks are drawn.
    """
    slot = jnp.arange(most_slots)
    log_weights = (power_a - 1) * jnp.log1p(slot.astype(jnp.float32))
    return draw_weighted(key, jnp.where(slot < num_slots, log_weights, -jnp.inf), draws)
