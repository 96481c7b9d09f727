"""Nonlinear recurrences, which only a loop over tokens can run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def token_by_token(
    cell: Callable[[Any, Array], tuple[Any, Array]], inputs: Float[Array, "B T I"], state: Any
) -> tuple[Float[Array, "B T E"], Any]:
    """Outputs and final state of a loop over `cell(state, inputs_t) -> (state, outputs_t)`, in float32."""
    state, outputs = jax.lax.scan(cell, state, jnp.swapaxes(inputs.astype(jnp.float32), 0, 1))
    return jnp.swapaxes(outputs, 0, 1), state
