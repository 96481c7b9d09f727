"""A rule speaks of one head of one sequence; this maps it over all of them."""

from typing import Any

import jax
from jaxtyping import Array, Float

from sandbox.scans.rules.rule import Update


def over_batch_and_heads(
    update: Update, states: Float[Array, "B H K V"], inputs: Any
) -> tuple[Float[Array, "B H K V"], Array]:
    """Applies `update` to states and inputs whose leading axes are batch and heads.

    An input whose batch axis has length one is the same for every sequence. It is not repeated, so what is
    computed from it alone, such as the decays of a time-invariant gate, is computed once per head.
    """
    batch_size = states.shape[0]

    def is_shared(leaf: Array) -> bool:
        return leaf.shape[0] == 1 and batch_size > 1

    batch_axes = jax.tree.map(lambda leaf: None if is_shared(leaf) else 0, inputs)
    inputs = jax.tree.map(lambda leaf: leaf[0] if is_shared(leaf) else leaf, inputs)
    return jax.vmap(jax.vmap(update), in_axes=(0, batch_axes))(states, inputs)
