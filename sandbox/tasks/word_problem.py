"""The word problem of a group: multiply the elements read so far.

Four elements of S3, each written as the images of 0, 1 and 2; `.` is not scored:

    position               0     1     2     3     4
    token                 102   120   021   102   PAD
    target (`every`)      102   210   120   021    .
    target (`last`)        .     .     .    021    .

The product of p and q maps i to q(p(i)): 102 maps 0 to 1, and 120 maps 1 to 2, so their product maps 0 to 2.
Three of the groups have the same order, 60, and differ in how hard the product so far is to track: Z60 is abelian,
A4 x Z5 solvable, A5 neither.

Source: Merrill et al. 2024, "The Illusion of State in State-Space Models" (arXiv 2404.08819);
`src/generate_data.py` of its code (jopetty/word-problem). Differences:

- there is no BOS token, whose target in the original is itself;
- each example is drawn anew; the original splits a finite set of distinct sequences of one length, and takes
  shorter ones into the training set. As there, no sequence of the tests occurs in training;
- elements are numbered in another order, and S3 is added as a group small enough to learn within minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sandbox.option_checks import check_choice
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.groups import Group, elements, multiplication_table
from sandbox.tasks.parts.state_tracking import StateTrackingConfig, TargetAt
from sandbox.tasks.task import Example, TokenMeaning

PAD = 0
FIRST_ELEMENT = 1


@dataclass(unsafe_hash=True)
class WordProblemConfig(StateTrackingConfig):
    """Products of a number of group elements that is uniform over `min_length..max_length`."""

    group: Group = Group.A5
    """The group: Z60, A4xZ5, A5, S3 or S5."""
    min_length: int = 2
    """Elements of the shortest sequence."""
    max_length: int = 16
    """Elements of the longest sequence."""
    target_at: TargetAt = TargetAt.every

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("task.group", self.group, Group)

    @property
    def vocab_size(self) -> int:
        return FIRST_ELEMENT + len(elements(self.group))

    def describe_token(self, token: int) -> TokenMeaning:
        if token == PAD:
            return TokenMeaning("mark", "PAD")
        element = elements(self.group)[token - FIRST_ELEMENT]
        if self.group is Group.A4xZ5:
            return TokenMeaning("element", "".join(map(str, element[:4])) + f"+{element[4]}")
        return TokenMeaning("element", "".join(map(str, element)))

    def num_sequences(self, length: int) -> int:
        return len(elements(self.group)) ** length

    def chance(self, slices: Mapping[str, int]) -> float:
        return 1 / len(elements(self.group))

    def sample(self, key: PRNGKey) -> Example:
        length_key, elements_key = jax.random.split(key)
        length = self.draw_length(length_key)
        table = jnp.array(multiplication_table(self.group))
        drawn = jax.random.randint(elements_key, (self.max_length,), 0, len(table), dtype=jnp.int32)
        products = jax.lax.associative_scan(lambda first, then: table[first, then], drawn)
        time = jnp.arange(self.max_length, dtype=jnp.int32)
        tokens = jnp.where(time < length, FIRST_ELEMENT + drawn, PAD)
        states = FIRST_ELEMENT + products
        return self.ask(tokens, time, states, steps=length, length=length)
