"""Scored positions that a mask over the sequence tells, where their number differs from sequence to sequence."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Scored(NamedTuple):
    """The fields of an `Example` that say what is scored."""

    positions: Int[Array, "M"]
    targets: Int[Array, "M"]
    weights: Float[Array, "M"]


def score_where(due: Bool[Array, "T"], answers: Int[Array, "T"], num_scored: int) -> Scored:
    """The positions where an answer is due, in order, and the answers there; at most `num_scored` are due."""
    positions = jnp.nonzero(due, size=num_scored, fill_value=0)[0].astype(jnp.int32)
    used = jnp.arange(num_scored) < jnp.sum(due)
    return Scored(positions, jnp.where(used, answers[positions], 0), used.astype(jnp.float32))
