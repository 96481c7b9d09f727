"""Mixtures of difficulties: sequences that differ in their number of key-value pairs, and perhaps in length."""

import abc
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_positive_number, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.number_or_list import entries, side_by_side
from sandbox.tasks.task import TaskConfig

SMALLEST = {"length": 4, "pairs": 1, "test_lengths": 4, "test_pairs": 1}
"""The smallest value that each option of a difficulty may have."""


class Difficulty(NamedTuple):
    """One part of the mixture."""

    length: int
    pairs: int
    weight: int | float


@dataclass(unsafe_hash=True)
class MixtureConfig(TaskConfig):
    """Base of tasks over a mixture of difficulties, by which accuracy is reported.

    Every option of a difficulty takes one number or a list. Lists have equal lengths, an entry per difficulty; one
    number holds for all difficulties.
    """

    difficulty_options: ClassVar[tuple[str, ...]] = ("pairs",)
    """The options that make up a difficulty: `pairs`, after `length` if the pairs do not determine it."""
    test_options: ClassVar[tuple[str, ...]] = ("test_pairs",)
    """The same options for the tests."""

    pairs: Any = (4, 8)
    """Key-value pairs of a sequence (int or list of int), each of which is queried once."""
    weights: Any = 1
    """Relative frequency of each difficulty (positive number or list of them), in any unit. One number: all are
    equally frequent."""
    test_pairs: Any = ()
    """Numbers of pairs that are tested (int or list of int), each by itself. None given: tested as trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (*self.difficulty_options, *self.test_options):
            for key, entry in entries(f"task.{name}", getattr(self, name)):
                check_whole_number(key, entry, SMALLEST[name])
        for key, entry in entries("task.weights", self.weights):
            check_positive_number(key, entry)
        for names, difficulties in ((self.difficulty_options, self.mixture), (self.test_options, self._tested())):
            for difficulty in difficulties:
                self.check_difficulty(difficulty, length_key=f"task.{names[0]}", pairs_key=f"task.{names[-1]}")

    @abc.abstractmethod
    def check_difficulty(self, difficulty: Difficulty, length_key: str, pairs_key: str) -> None:
        """Reject a difficulty that cannot be drawn; the keys are those of the options that ask for it."""

    def length_of(self, pairs: int) -> int:
        """Length of a sequence with this number of pairs, for tasks that have no option `length`."""
        raise NotImplementedError

    @property
    def mixture(self) -> tuple[Difficulty, ...]:
        """The difficulties of training."""
        options = {name: getattr(self, name) for name in (*self.difficulty_options, "weights")}
        return tuple(self._difficulty(*entry) for entry in side_by_side(options))

    @property
    def max_len(self) -> int:
        return max(difficulty.length for difficulty in self.mixture)

    @property
    def most_pairs(self) -> int:
        """The largest number of pairs."""
        return max(difficulty.pairs for difficulty in self.mixture)

    @property
    def num_scored(self) -> int:
        return self.most_pairs

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        return {
            "length": tuple(sorted({difficulty.length for difficulty in self.mixture})),
            "pairs": tuple(sorted({difficulty.pairs for difficulty in self.mixture})),
        }

    def test_tasks(self) -> tuple[TaskConfig, ...]:
        """One task for each tested difficulty; without any, tested as trained."""
        trained: dict[str, Any] = {"weights": 1} | dict.fromkeys(self.test_options, ())
        return tuple(
            dataclasses.replace(
                self, **trained | {name: getattr(difficulty, name) for name in self.difficulty_options}
            )
            for difficulty in self._tested()
        ) or (self,)

    def context_chance(self, slices: Mapping[str, int]) -> float | None:
        """One of the pairs, as each is asked for once and values differ."""
        return 1 / slices["pairs"]

    def draw_difficulty(self, key: PRNGKey) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """Draw a difficulty from the mixture: its length, and its number of pairs."""
        lengths, pair_counts, weights = (jnp.array(values) for values in zip(*self.mixture, strict=True))
        number = jax.random.categorical(key, jnp.log(weights.astype(jnp.float32)))
        return lengths[number], pair_counts[number]

    def _tested(self) -> tuple[Difficulty, ...]:
        options = {name: getattr(self, name) for name in self.test_options}
        if all(value == () for value in options.values()):
            return ()
        return tuple(self._difficulty(*entry, 1) for entry in side_by_side(options))

    def _difficulty(self, *entry: Any) -> Difficulty:
        """The difficulty of an entry: the length, if it is an option, the number of pairs and the weight."""
        *length, pairs, weight = entry
        return Difficulty(length[0] if length else self.length_of(pairs), pairs, weight)
