"""Examples that may ask fewer questions than the largest number, M."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from sandbox.tasks.task import Example


def make_example(
    tokens: Int[Array, "T"],
    positions: Int[Array, "M"],
    targets: Int[Array, "M"],
    used: Bool[Array, "M"],
    slices: dict[str, Int[Array, ""]],
) -> Example:
    """The example with the questions that are `used`, which come first; the other entries become zeros."""
    return Example(
        tokens=tokens,
        positions=jnp.where(used, positions, 0),
        targets=jnp.where(used, targets, 0),
        weights=used.astype(jnp.float32),
        slices=slices,
    )


def ask_where(
    due: Bool[Array, "T"],
    answers: Int[Array, "T"],
    num_scored: int,
    tokens: Int[Array, "T"],
    slices: dict[str, Int[Array, ""]],
) -> Example:
    """The example with a question at every position where an answer is due, at most `num_scored` of them."""
    positions = jnp.nonzero(due, size=num_scored, fill_value=0)[0].astype(jnp.int32)
    used = jnp.arange(num_scored) < jnp.sum(due)
    return make_example(tokens, positions, answers[positions], used, slices)
