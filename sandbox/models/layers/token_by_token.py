"""Nonlinear recurrences, which only a loop over tokens can run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.models.segments import open_starts


def token_by_token(
    cell: Callable[[Any, Array], tuple[Any, Array]], inputs: Float[Array, "B T I"], state: Any
) -> tuple[Float[Array, "B T E"], Any]:
    """Outputs and final state of a loop over `cell(state, inputs_t) -> (state, outputs_t)`, in float32.

    Every segment starts from `state`.
    """
    by_time, starts, empty = jnp.swapaxes(inputs.astype(jnp.float32), 0, 1), open_starts(), state
    if starts is None:
        state, outputs = jax.lax.scan(cell, state, by_time)
        return jnp.swapaxes(outputs, 0, 1), state

    def start_or_go_on(state: Any, token: tuple[Array, Array]) -> tuple[Any, Array]:
        starts, inputs = token

        def choose(empty: Array, leaf: Array) -> Array:
            return jnp.where(jnp.expand_dims(starts, range(1, leaf.ndim)), empty, leaf)

        return cell(jax.tree.map(choose, empty, state), inputs)

    state, outputs = jax.lax.scan(start_or_go_on, state, (starts.T, by_time))
    return jnp.swapaxes(outputs, 0, 1), state
