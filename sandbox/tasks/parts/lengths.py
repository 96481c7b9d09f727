"""The length of a sequence as an option: one length, or a range that tests may leave."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_order, check_whole_number, check_whole_numbers
from sandbox.shapes import PRNGKey
from sandbox.tasks.task import TaskConfig


@dataclass(unsafe_hash=True)
class FixedLengthConfig(TaskConfig):
    """Base of tasks whose sequences all have the same length, by which accuracy is reported."""

    length: int
    """Tokens of a sequence."""

    @property
    def max_len(self) -> int:
        return self.length

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        return {"length": (self.length,)}

    @property
    def slices(self) -> dict[str, Int[Array, ""]]:
        """`Example.slices` of every sequence."""
        return {"length": jnp.int32(self.length)}


@dataclass(unsafe_hash=True)
class VariableLengthConfig(TaskConfig):
    """Base of tasks with a length drawn uniformly for each sequence, by which accuracy is reported."""

    min_length: int
    """Length of the shortest sequence."""
    max_length: int
    """Length of the longest sequence."""
    test_lengths: Any = ()
    """Lengths that are tested, each by itself (list of int). None given: tested as trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_numbers("task.test_lengths", self.test_lengths, least=1)
        check_whole_number("task.min_length", self.min_length, least=1)
        check_whole_number("task.max_length", self.max_length, least=1)
        check_order("task.min_length", self.min_length, "task.max_length", self.max_length)

    def check_lengths_suffice(self, least: int, because: str) -> None:
        """Reject lengths of training and tests below `least`, which follows from what `because` says."""
        tests = {f"test_lengths[{i}]": length for i, length in enumerate(self.test_lengths)}
        for name, length in {"min_length": self.min_length, **tests}.items():
            if length < least:
                raise ValueError(f"task.{name}={length} must be at least {least} ({because})")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Every length that occurs, ascending."""
        return tuple(range(self.min_length, self.max_length + 1))

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        return {"length": self.lengths}

    def test_tasks(self) -> tuple[TaskConfig, ...]:
        """One task for each test length; without any, tested as trained."""
        return tuple(self.at_length(length) for length in self.test_lengths) or (self,)

    def at_length(self, length: int) -> TaskConfig:
        """The same task with all sequences of one length."""
        changed: dict[str, Any] = {"min_length": length, "max_length": length, "test_lengths": ()}
        return dataclasses.replace(self, **changed)

    def draw_length(self, key: PRNGKey) -> Int[Array, ""]:
        """Draw one of `lengths`, all equally likely."""
        lengths = jnp.array(self.lengths, dtype=jnp.int32)
        return lengths[jax.random.randint(key, (), 0, len(self.lengths), dtype=jnp.int32)]
