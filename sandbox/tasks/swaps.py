"""Swaps: items change places two at a time; in which order do they lie?

Three items, written as the places of items 0, 1 and 2, and swaps written as the two places; `.` is not scored:

    position               0     1     2     3
    token                 0-1   1-2   0-1   PAD
    target (`every`)      102   201   210    .
    target (`last`)        .     .    210    .

The word problem of the permutations, restricted to words of transpositions: each step is one reflection, which
a delta rule makes in one write if its eigenvalues may be negative, and the state is as hard to track as that of
all words.

Source: Grazzi et al. 2024, "Unlocking State-Tracking in Linear RNNs Through Negative Eigenvalues" (arXiv
2411.12537), section 5.2, S5 with words of swaps. Difference: no step leaves all items where they are.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sandbox.option_checks import check_choice
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.groups import Group, elements, multiplication_table
from sandbox.tasks.parts.state_tracking import StateTrackingConfig, TargetAt
from sandbox.tasks.task import Example, TokenMeaning

PAD, FIRST_SWAP = range(2)


@functools.cache
def transpositions(group: Group) -> tuple[int, ...]:
    """The numbers of the elements that exchange two items, among all permutations of the group."""
    permutations = elements(group)
    moved = [sum(image != item for item, image in enumerate(element)) for element in permutations]
    return tuple(number for number, count in enumerate(moved) if count == 2)


@functools.cache
def shares_after_swaps(group: Group, steps: int) -> Float[np.ndarray, "S order"]:
    """How likely each permutation is after 1 to `steps` swaps."""
    table = multiplication_table(group)[:, list(transpositions(group))]
    shares, now = [], np.eye(len(table))[0]
    for _ in range(steps):
        now = np.bincount(table.ravel(), np.repeat(now, table.shape[1]), len(table)) / table.shape[1]
        shares.append(now)
    return np.array(shares)


@dataclass(unsafe_hash=True)
class SwapsConfig(StateTrackingConfig):
    """Permutations after a number of swaps that is uniform over `min_length..max_length`."""

    group: Group = Group.S5
    """The permutations: S5 of five items or S3 of three."""
    min_length: int = 2
    """Swaps of the shortest sequence."""
    max_length: int = 16
    """Swaps of the longest sequence."""
    target_at: TargetAt = TargetAt.every

    def __post_init__(self) -> None:
        check_choice("task.group", self.group, Group)
        if self.group not in (Group.S3, Group.S5):
            raise ValueError(f"task.group={self.group.name} must be S3 or S5")
        super().__post_init__()

    @property
    def num_swaps(self) -> int:
        """Number of different swaps."""
        return len(transpositions(self.group))

    @property
    def first_order(self) -> int:
        """Orders are the tokens from this one on."""
        return FIRST_SWAP + self.num_swaps

    @property
    def vocab_size(self) -> int:
        return self.first_order + len(elements(self.group))

    def describe_token(self, token: int) -> TokenMeaning:
        if token == PAD:
            return TokenMeaning("mark", "PAD")
        permutations, state = elements(self.group), token - self.first_order
        if state >= 0:
            return TokenMeaning("order", "".join(map(str, permutations[state])))
        swap = permutations[transpositions(self.group)[token - FIRST_SWAP]]
        return TokenMeaning("swap", "-".join(str(item) for item, image in enumerate(swap) if image != item))

    def num_sequences(self, length: int) -> int:
        return self.num_swaps**length

    def chance(self, slices: Mapping[str, int]) -> float:
        """The likeliest permutation after the last swap, or over all steps; half of them need an odd number."""
        shares = shares_after_swaps(self.group, slices["length"])
        return float((shares[-1] if self.target_at is TargetAt.last else shares.mean(axis=0)).max())

    def sample(self, key: PRNGKey) -> Example:
        length_key, swaps_key = jax.random.split(key)
        length = self.draw_length(length_key)
        drawn = jax.random.randint(swaps_key, (self.max_length,), 0, self.num_swaps, dtype=jnp.int32)
        table = jnp.array(multiplication_table(self.group))
        swapped = jnp.array(transpositions(self.group), jnp.int32)[drawn]
        orders = jax.lax.associative_scan(lambda first, then: table[first, then], swapped)
        time = jnp.arange(self.max_length, dtype=jnp.int32)
        tokens = jnp.where(time < length, FIRST_SWAP + drawn, PAD)
        states = self.first_order + orders
        return self.ask(tokens, time, states, steps=length, length=length)
