"""Gates and decays that depend on the data."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


def biased_logits(from_x: Float[Array, "B T O"], bias: nnx.Param) -> Float[Array, "B T H R"]:
    """Splits a projection of the input into heads and adds a bias `[H, R]`, in float32; O = H · R."""
    return from_x.astype(jnp.float32).reshape(*from_x.shape[:2], *bias.shape) + bias[...]


def step_size_decay(
    dt: Float[Array, "B T *heads"], bias: Float[Array, "*heads"], log_rates: Float[Array, "..."]
) -> Float[Array, "B T *heads"]:
    """log α = -A softplus(dt + bias), in float32: a rate A = exp(log_rates) times a step size, as in Mamba-2."""
    step_sizes = jax.nn.softplus(dt.astype(jnp.float32) + bias)
    return -step_sizes * jnp.exp(log_rates)
