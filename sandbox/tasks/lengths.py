"""Tasks whose sequences differ in length: trained on short ones, tested on longer ones."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_order, check_whole_number, whole_numbers
from sandbox.shapes import PRNGKey
from sandbox.tasks.task import TaskConfig


class VariableLengthConfig(TaskConfig):
    """Base of tasks with a length drawn uniformly for each sequence, by which accuracy is reported.

    A subclass declares the three options as fields, each with what it counts.
    """

    min_length: int
    max_length: int
    test_lengths: Any

    def __post_init__(self) -> None:
        """Refuse impossible lengths."""
        self.test_lengths = whole_numbers("task.test_lengths", self.test_lengths, minimum=1)
        check_whole_number("task.min_length", self.min_length, minimum=1)
        check_whole_number("task.max_length", self.max_length, minimum=1)
        check_order("task", self, "min_length", "max_length")

    def refuse_shorter(self, minimum: int, because: str) -> None:
        """Refuse lengths below `minimum`; `because` names the option that asks for it."""
        tests = {f"test_lengths[{i}]": length for i, length in enumerate(self.test_lengths)}
        for name, length in {"min_length": self.min_length, **tests}.items():
            if length < minimum:
                raise ValueError(f"task.{name}={length} must be >= {minimum} ({because})")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Every length that occurs, ascending."""
        return tuple(range(self.min_length, self.max_length + 1))

    @property
    def slice_values(self) -> dict[str, tuple[int, ...]]:
        """Every length."""
        return {"length": self.lengths}

    def test_tasks(self) -> tuple[TaskConfig, ...]:
        """One task for each test length; without any, the test is as the training."""
        return tuple(self.at_length(length) for length in self.test_lengths) or (self,)

    def at_length(self, length: int) -> TaskConfig:
        """The same task with all sequences of one length."""
        changed: dict[str, Any] = {"min_length": length, "max_length": length, "test_lengths": ()}
        return dataclasses.replace(self, **changed)

    def draw_length(self, key: PRNGKey) -> Int[Array, ""]:
        """Draw one of `lengths`, all equally likely."""
        lengths = jnp.array(self.lengths, dtype=jnp.int32)
        return lengths[jax.random.randint(key, (), 0, len(self.lengths), dtype=jnp.int32)]
