"""Tasks that ask for a state: after every step, or after the last one alone."""

import abc
import enum
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_choice
from sandbox.tasks.parts.lengths import VariableLengthConfig
from sandbox.tasks.parts.scoring import make_example
from sandbox.tasks.task import Example


class TargetAt(enum.Enum):
    """Which steps have a target."""

    every = "every"
    """Each step asks for the state that it leads to."""
    last = "last"
    """Only the last step asks for the state."""


FEW_SEQUENCES = 10**8
"""With fewer sequences of the shortest length, splits are disjoint. Of this many, 100,000 sequences of training
are one in a thousand."""


@dataclass(unsafe_hash=True)
class StateTrackingConfig(VariableLengthConfig):
    """Base of tasks in which every token of a sequence is a step."""

    target_at: TargetAt = TargetAt.last
    """Which tokens ask for the state so far: `every` one or the `last`."""

    def __post_init__(self) -> None:
        check_choice("task.target_at", self.target_at, TargetAt)
        super().__post_init__()

    @property
    def max_len(self) -> int:
        return self.max_length

    @property
    def num_scored(self) -> int:
        return 1 if self.target_at is TargetAt.last else self.max_length

    @abc.abstractmethod
    def num_sequences(self, length: int) -> int:
        """Number of different sequences of this length."""

    @property
    def disjoint_splits(self) -> bool:
        """True where the shortest sequences are fewer than FEW_SEQUENCES."""
        return self.num_sequences(self.lengths[0]) < FEW_SEQUENCES

    def ask(
        self,
        tokens: Int[Array, "T"],
        positions: Int[Array, "S"],
        states: Int[Array, "S"],
        steps: Int[Array, ""],
        length: Int[Array, ""],
    ) -> Example:
        """The example that asks for the state after each of its steps, or after the last one.

        Args:
            tokens: the sequence, padded.
            positions: position of each step, of which the first `steps` are used.
            states: the token that stands for the state after each step.
            steps: number of steps of this sequence.
            length: the length by which accuracy is reported.
        """
        used = jnp.arange(positions.size) < steps
        if self.target_at is TargetAt.last:
            last = steps - 1
            positions, states, used = positions[last][None], states[last][None], used[:1]
        return make_example(tokens, positions, states, used, slices={"length": length})
