"""The contract of a task: a config that draws one example from one random key.

A task is its own config. `TASKS["mqar"]().sample(key)` is an example; its sizes are static properties of the
config, so that everything around it can be compiled. `streams.py` makes batches and data sets of this function.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sandbox.shapes import PRNGKey


class Example(NamedTuple):
    """A sequence and the questions asked about it; in a batch every leaf has a leading axis.

    Only the M scored positions reach the readout. When a sequence asks fewer than M questions, the unused entries
    come last and have position 0, target 0 and weight 0.
    """

    tokens: Int[Array, "*B T"]
    """What the model reads; sequences shorter than T are padded at the end."""
    positions: Int[Array, "*B M"]
    """Where an answer is due, `0 <= position < T`: the answer may use the token at the position and all before."""
    targets: Int[Array, "*B M"]
    """The right answer at each of these positions, a token."""
    weights: Float[Array, "*B M"]
    """1 for a question, 0 for an unused entry."""
    slices: dict[str, Int[Array, "*B"]]
    """Difficulty of this sequence by name, such as `{"pairs": 16}`: accuracy is reported for each value."""
    legal: Bool[Array, "*B M N"] | None = None
    """Which tokens count as right at each scored position, if several do; None means the target alone."""


class TokenMeaning(NamedTuple):
    """What a token stands for, for people who look at examples."""

    kind: str
    """The part of the vocabulary that the token belongs to, such as `key`; `mark` for tokens that only structure
    the sequence, as padding does."""
    name: str
    """How the token is written in an example."""


@dataclass(unsafe_hash=True)
class TaskConfig(abc.ABC):
    """Base of all tasks: a subclass adds its options as fields and rejects impossible ones in `__post_init__`."""

    version: ClassVar[int] = 1
    """Goes up by one when a task of the same options comes to give other results."""

    answers_follow: ClassVar[bool] = False
    """Whether an answer is a token that followed the token of its question earlier, as in recall and copying."""

    answers_are_read: ClassVar[bool] = False
    """Whether the token after each answer that is due, but the last, is that answer, as in copying."""

    one_answer: ClassVar[bool] = True
    """Whether a question has a single right answer, unlike the next symbol of a string, which may be several."""

    def __post_init__(self) -> None:
        """Turn lists, as YAML and Hydra give them, into tuples, so that the config is hashable."""
        for field in dataclasses.fields(self):
            if isinstance(value := getattr(self, field.name), list):
                setattr(self, field.name, tuple(value))

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int:
        """N: number of different tokens, the same for inputs and targets."""

    @property
    @abc.abstractmethod
    def max_len(self) -> int:
        """T: number of tokens of every sequence, padding included."""

    @property
    @abc.abstractmethod
    def num_scored(self) -> int:
        """M: largest number of questions in a sequence."""

    @property
    @abc.abstractmethod
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        """For each name in `Example.slices`, the values that occur, ascending."""

    def test_tasks(self) -> tuple["TaskConfig", ...]:
        """The tasks that a model is tested on after training: this one, or versions of it such as longer ones.

        Each is compiled separately, so their lengths may differ. They share `vocab_size` and the names of slices.
        """
        return (self,)

    @property
    def disjoint_splits(self) -> bool:
        """Whether a sequence belongs to one split alone, by its hash, and is drawn for no other.

        True for tasks with so few sequences that those of the tests would also occur in training. Difficulties are
        then as frequent in a split as sequences of them belong to it, which differs where there are very few.
        """
        return False

    @abc.abstractmethod
    def chance(self, slices: Mapping[str, int]) -> float:
        """Accuracy of the best constant answer: one token for every question, whatever the sequence is.

        An expectation over sequences of one difficulty: a value for each name in `slice_values`, such as
        `{"length": 64, "pairs": 16}`, of this task or one of its `test_tasks`. A token that can't be an answer
        counts as wrong, so a model that has not learned yet what can be one may be below chance.
        """

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        """Accuracy of naming the value of a random pair of the sequence, or None for a task without pairs.

        There a model stays that knows which values occurred and not whose they are. `slices` as in `chance`.
        """
        return None

    def describe_token(self, token: int) -> TokenMeaning:
        """The meaning of `token`, `0 <= token < vocab_size`; a task whose vocabulary has parts names them."""
        return TokenMeaning("token", str(token))

    @abc.abstractmethod
    def sample(self, key: PRNGKey) -> Example:
        """Draw one example; a pure function of the config and the key, made for `jit` and `vmap`."""


def on_each(
    number: Callable[[Mapping[str, int]], float | None], slices: Mapping[str, Int[Array | np.ndarray, "E"]]
) -> Float[np.ndarray, "E"]:
    """A number that depends on the difficulty, such as `chance`, of each sequence of a batch; nan for None."""
    rows = zip(*(values.tolist() for values in slices.values()), strict=True)
    return np.array([number(dict(zip(slices, row, strict=True))) for row in rows], dtype=float)
