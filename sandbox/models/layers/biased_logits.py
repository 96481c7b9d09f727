"""Logits of gates and decays that depend on the data."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


def biased_logits(from_x: Float[Array, "B T O"], bias: nnx.Param) -> Float[Array, "B T H R"]:
    """Splits a projection of the input into heads and adds a bias `[H, R]`, in float32; O = H · R."""
    return from_x.astype(jnp.float32).reshape(*from_x.shape[:2], *bias.shape) + bias[...]
