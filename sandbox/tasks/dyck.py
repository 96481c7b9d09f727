"""Dyck: which bracket closes next?

Two kinds of brackets; `-` means that nothing is open, `.` is not scored:

    position               0    1    2    3    4    5
    token                  (    [    ]    )    (   PAD
    target (`every`)       )    ]    )    -    )    .
    target (`last`)        .    .    .    .    )    .

The state is a stack: what is open, in order. With a bounded depth it is finite, and still grows with the depth.

Source: Hewitt et al. 2020, "RNNs can generate bounded hierarchical languages with optimal memory" (arXiv
2010.07515), Dyck-(k, m). Differences:

- the answer is the bracket that closes what was opened last, asked for directly; there a language model is
  trained, and the probability that it gives to this bracket is measured;
- a sequence ends after a given number of brackets, whether or not all are closed; each next bracket opens or
  closes with equal probability where both are possible, and opens a bracket of any kind alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from sandbox.option_checks import check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.state_tracking import StateTrackingConfig, TargetAt
from sandbox.tasks.task import Example, TokenMeaning

PAD, NOTHING, FIRST_OPENING = range(3)
_PAIRS = ("()", "[]", "{}", "<>")


@dataclass(unsafe_hash=True)
class DyckConfig(StateTrackingConfig):
    """Brackets whose number is uniform over `min_length..max_length`."""

    kinds: int = 2
    """Kinds k of brackets."""
    max_depth: int = 4
    """Brackets m that may be open at once."""
    min_length: int = 8
    """Brackets of the shortest sequence."""
    max_length: int = 32
    """Brackets of the longest sequence."""
    target_at: TargetAt = TargetAt.every

    def __post_init__(self) -> None:
        check_whole_number("task.kinds", self.kinds, least=1)
        check_whole_number("task.max_depth", self.max_depth, least=1)
        super().__post_init__()

    @property
    def first_closing(self) -> int:
        """The token that closes brackets of the first kind."""
        return FIRST_OPENING + self.kinds

    @property
    def vocab_size(self) -> int:
        return FIRST_OPENING + 2 * self.kinds

    def describe_token(self, token: int) -> TokenMeaning:
        if token < FIRST_OPENING:
            return TokenMeaning("mark", ("PAD", "-")[token])
        closes, kind = divmod(token - FIRST_OPENING, self.kinds)
        name = _PAIRS[kind][closes] if self.kinds <= len(_PAIRS) else f"{'()'[closes]}{kind}"
        return TokenMeaning("closing" if closes else "opening", name)

    def num_sequences(self, length: int) -> int:
        """Counted by the number of brackets that are open."""
        ways = [1] + [0] * self.max_depth
        for _ in range(length):
            opened, closed = [0, *(self.kinds * number for number in ways[:-1])], [*ways[1:], 0]
            ways = [one + other for one, other in zip(opened, closed, strict=True)]
        return sum(ways)

    def chance(self, slices: Mapping[str, int]) -> float:
        """Nothing is open, or one of the kinds, which are equally likely."""
        share = np.eye(self.max_depth + 1)[0]
        empty = []
        for _ in range(slices["length"]):
            opening = np.full(self.max_depth + 1, 0.5)
            opening[0], opening[-1] = 1.0, 0.0
            opened, closed = share * opening, share * (1 - opening)
            share = np.append(0, opened[:-1]) + np.append(closed[1:], 0)
            empty.append(share[0])
        nothing = empty[-1] if self.target_at is TargetAt.last else float(np.mean(empty))
        return float(max(nothing, (1 - nothing) / self.kinds))

    def sample(self, key: PRNGKey) -> Example:
        length_key, opens_key, kinds_key = jax.random.split(key, 3)
        length = self.draw_length(length_key)
        opens = jax.random.bernoulli(opens_key, 0.5, (self.max_length,))
        kinds = jax.random.randint(kinds_key, (self.max_length,), 0, self.kinds, dtype=jnp.int32)

        def read(
            stack: tuple[Int[Array, "D"], Int[Array, ""]], drawn: tuple[Bool[Array, ""], Int[Array, ""]]
        ) -> tuple[tuple[Int[Array, "D"], Int[Array, ""]], tuple[Int[Array, ""], Int[Array, ""]]]:
            (open_kinds, depth), (wants_to_open, kind) = stack, drawn
            opening = (depth == 0) | (wants_to_open & (depth < self.max_depth))
            token = jnp.where(opening, FIRST_OPENING + kind, self.first_closing + open_kinds[depth - 1])
            pushed = open_kinds.at[jnp.minimum(depth, self.max_depth - 1)].set(kind)
            open_kinds = jnp.where(opening, pushed, open_kinds)
            depth = jnp.where(opening, depth + 1, depth - 1)
            due = jnp.where(depth > 0, self.first_closing + open_kinds[depth - 1], NOTHING)
            return (open_kinds, depth), (token, due)

        empty = (jnp.zeros(self.max_depth, jnp.int32), jnp.int32(0))
        _, (brackets, due) = jax.lax.scan(read, empty, (opens, kinds))
        time = jnp.arange(self.max_length, dtype=jnp.int32)
        return self.ask(jnp.where(time < length, brackets, PAD), time, due, steps=length, length=length)
