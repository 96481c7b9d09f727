"""What a task is: a config that draws one example from one random key.

A task is its own config. `TASKS["mqar"]().sample(key)` is an example; its sizes are static properties of the
config, so that everything around it can be compiled. Batches and data sets are made of this one function in
`streams.py`.
"""

import abc
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int

from sandbox.shapes import PRNGKey


class Example(NamedTuple):
    """A sequence and the questions asked about it; a batch of them has a leading axis on every leaf.

    Only the M scored positions reach the readout. When a sequence asks fewer than M questions, the unused
    places come last and have position 0, target 0 and weight 0.
    """

    tokens: Int[Array, "*B T"]
    """What the model reads; sequences shorter than T are padded at the end."""
    positions: Int[Array, "*B M"]
    """Where an answer is due, `0 <= position < T`."""
    targets: Int[Array, "*B M"]
    """The token that is right at each of these positions."""
    weights: Float[Array, "*B M"]
    """1 where the position is scored, 0 where the place is unused."""
    slices: dict[str, Int[Array, "*B"]]
    """Difficulty of this sequence by name, such as `{"pairs": 16}`: accuracy is reported for each value."""
    legal: Bool[Array, "*B M N"] | None = None
    """Which tokens count as right at each scored position, where several do; None: the target alone."""


class TokenMeaning(NamedTuple):
    """What a token stands for, for people who look at examples."""

    kind: str
    """What it has in common with its neighbours in the vocabulary, such as `key`; `mark` where it only structures
    the sequence, as padding does."""
    name: str
    """How it is written in an example."""


@dataclass(unsafe_hash=True)
class TaskConfig(abc.ABC):
    """Base of all tasks: a subclass adds its options as fields and refuses impossible ones when made."""

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int:
        """N: number of different tokens, the same for inputs and targets."""

    @property
    @abc.abstractmethod
    def max_len(self) -> int:
        """T: tokens of every sequence, padding included."""

    @property
    @abc.abstractmethod
    def num_scored(self) -> int:
        """M: places for scored positions in every sequence, unused ones included."""

    @property
    @abc.abstractmethod
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        """For each name in `Example.slices`, the values that occur, ascending."""

    def test_tasks(self) -> tuple["TaskConfig", ...]:
        """What is tested after training on this task: itself, or versions of it such as longer ones.

        Each is compiled for by itself, so that their lengths may differ. They share `vocab_size` and the names
        of the slices.
        """
        return (self,)

    def describe_token(self, token: int) -> TokenMeaning:
        """What `token`, `0 <= token < vocab_size`, stands for; a task whose vocabulary has parts names them."""
        return TokenMeaning("token", str(token))

    @abc.abstractmethod
    def sample(self, key: PRNGKey) -> Example:
        """Draw one example; a pure function of the config and the key, made for `jit` and `vmap`."""
