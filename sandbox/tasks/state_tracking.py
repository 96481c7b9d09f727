"""What the state-tracking tasks share: a target at every step, or at the last one alone."""

import enum

import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.option_checks import check_choice
from sandbox.tasks.lengths import VariableLengthConfig
from sandbox.tasks.task import Example


class TargetAt(enum.Enum):
    """Which steps have a target."""

    every = "every"
    """Each step is asked for the state that it leads to."""
    last = "last"
    """The last step alone."""


class StateTrackingConfig(VariableLengthConfig):
    """Base of tasks in which every token up to the length is a step. A subclass declares the option as a field."""

    target_at: TargetAt

    def __post_init__(self) -> None:
        """Refuse impossible lengths and targets."""
        super().__post_init__()
        check_choice("task.target_at", self.target_at, TargetAt)

    @property
    def max_len(self) -> int:
        """T: the steps."""
        return self.max_length

    @property
    def num_scored(self) -> int:
        """M: one, or all steps."""
        return 1 if self.target_at is TargetAt.last else self.max_length


def ask(
    tokens: Int[Array, "T"],
    positions: Int[Array, "S"],
    states: Int[Array, "S"],
    steps: Int[Array, ""],
    target_at: TargetAt,
    length: Int[Array, ""],
) -> Example:
    """The example that asks for the state after each of its steps, or after the last one.

    Args:
        tokens: the sequence, padded.
        positions: where each step is; `steps` of them are used.
        states: the token that stands for the state after each step.
        steps: how many steps this sequence has.
        target_at: which of them are asked.
        length: by which accuracy is reported.
    """
    if target_at is TargetAt.last:
        positions, states, used = positions[steps - 1][None], states[steps - 1][None], jnp.ones(1, dtype=bool)
    else:
        used = jnp.arange(positions.size) < steps
    return Example(
        tokens=tokens,
        positions=jnp.where(used, positions, 0),
        targets=jnp.where(used, states, 0),
        weights=used.astype(jnp.float32),
        slices={"length": length},
    )
