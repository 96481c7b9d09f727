"""Mixtures of difficulties: sequences that differ in their number of key-value pairs, and perhaps in length."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_positive_number, check_whole_number
from sandbox.shapes import PRNGKey
from sandbox.tasks.task import TaskConfig


class Difficulty(NamedTuple):
    """One part of the mixture."""

    length: int
    pairs: int
    weight: int | float


class MixtureConfig(TaskConfig):
    """Base of tasks over a mixture of difficulties, by which accuracy is reported.

    `columns` are the options that make up a difficulty: `pairs`, and `length` where the pairs do not determine it.
    Each takes one number or a list. Lists have equal lengths, an entry per difficulty; a number holds for all.
    `test_columns` are the same for the tests. A subclass declares all of them, and `weights`, as fields.
    """

    columns: ClassVar[tuple[str, ...]] = ("length", "pairs")
    test_columns: ClassVar[tuple[str, ...]] = ("test_lengths", "test_pairs")

    weights: Any

    def __post_init__(self) -> None:
        """Refuse impossible difficulties.

        Lists, as YAML and Hydra give them, become tuples, so that the config is hashable.
        """
        minimum = {"length": 4, "pairs": 1, "test_lengths": 4, "test_pairs": 1}
        for name in (*self.columns, *self.test_columns):
            value = tuple_if_list(getattr(self, name))
            setattr(self, name, value)
            for entry_key, entry in entries(f"task.{name}", value):
                check_whole_number(entry_key, entry, minimum[name])
        self.weights = tuple_if_list(self.weights)
        for entry_key, entry in entries("task.weights", self.weights):
            check_positive_number(entry_key, entry)

        trained = rows({name: getattr(self, name) for name in (*self.columns, "weights")})
        for names, table in ((self.columns, trained), (self.test_columns, self._test_rows())):
            for row in table:
                difficulty = self.difficulty(row[: len(names)], weight=1)
                self.refuse_impossible(difficulty, length_name=names[0], pairs_name=names[-1])

    @abc.abstractmethod
    def refuse_impossible(self, difficulty: Difficulty, length_name: str, pairs_name: str) -> None:
        """Refuse a difficulty that cannot be drawn; the names are those of the options that ask for it."""

    def difficulty(self, row: tuple[Any, ...], weight: int | float) -> Difficulty:
        """The difficulty that a row of `columns` makes; tasks whose length follows from the pairs override it."""
        length, pairs = row
        return Difficulty(length, pairs, weight)

    @property
    def mixture(self) -> tuple[Difficulty, ...]:
        """The difficulties, numbers repeated to the length of the lists."""
        table = rows({name: getattr(self, name) for name in (*self.columns, "weights")})
        return tuple(self.difficulty(row[:-1], weight=row[-1]) for row in table)

    @property
    def max_len(self) -> int:
        """T: the longest length."""
        return max(difficulty.length for difficulty in self.mixture)

    @property
    def most_pairs(self) -> int:
        """The largest number of pairs."""
        return max(difficulty.pairs for difficulty in self.mixture)

    @property
    def num_scored(self) -> int:
        """M: the largest number of pairs, each of which is queried once."""
        return self.most_pairs

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        """The different numbers of pairs, and the different lengths."""
        return {
            "length": tuple(sorted({difficulty.length for difficulty in self.mixture})),
            "pairs": tuple(sorted({difficulty.pairs for difficulty in self.mixture})),
        }

    def test_tasks(self) -> tuple[TaskConfig, ...]:
        """One task for each tested difficulty; without any, the test is as the training."""
        one: dict[str, Any] = {"weights": 1} | dict.fromkeys(self.test_columns, ())
        return tuple(
            dataclasses.replace(self, **one | dict(zip(self.columns, row, strict=True)))
            for row in self._test_rows()
        ) or (self,)

    def draw_difficulty(self, key: PRNGKey) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """Draw one of the mixture: its length, and its number of pairs."""
        lengths, pair_counts, weights = (jnp.array(column) for column in zip(*self.mixture, strict=True))
        number = jax.random.categorical(key, jnp.log(weights.astype(jnp.float32)))
        return lengths[number], pair_counts[number]

    def _test_rows(self) -> tuple[tuple[Any, ...], ...]:
        tests = {name: getattr(self, name) for name in self.test_columns}
        return () if all(value == () for value in tests.values()) else rows(tests)


def rows(columns: Mapping[str, Any]) -> tuple[tuple[Any, ...], ...]:
    """The columns, of which some may be numbers that hold for every row, as rows.

    Raises ValueError, one line, for lists that are empty or differ in length.
    """
    lists = {name: value for name, value in columns.items() if isinstance(value, tuple)}
    if len({len(value) for value in lists.values()}) > 1 or () in lists.values():
        given = ", ".join(f"task.{name}={list(value)}" for name, value in lists.items())
        raise ValueError(f"{given} must have equally many entries, at least one; a number holds for all")
    count = max((len(value) for value in lists.values()), default=1)
    return tuple(zip(*(v if isinstance(v, tuple) else (v,) * count for v in columns.values()), strict=True))


def tuple_if_list(value: Any) -> Any:
    """Make the lists that YAML and Hydra give hashable; anything else stays as it is."""
    return tuple(value) if isinstance(value, list) else value


def entries(name: str, value: Any) -> list[tuple[str, Any]]:
    """The numbers of an option with the names to call them by in a refusal."""
    if isinstance(value, tuple):
        return [(f"{name}[{i}]", entry) for i, entry in enumerate(value)]
    return [(name, value)]
