"""A decay that depends on the data through a step size, as in Mamba-2."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def log_decay(
    dt: Float[Array, "B T *heads"], bias: Float[Array, "*heads"], log_rates: Float[Array, "..."]
) -> Float[Array, "B T *heads"]:
    """log α = -A softplus(dt + bias), in float32: the rate A = exp(log_rates) times the step size."""
    step_sizes = jax.nn.softplus(dt.astype(jnp.float32) + bias)
    return -step_sizes * jnp.exp(log_rates)
