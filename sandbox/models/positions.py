"""Rotary positions."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def rotate(
    x: Float[Array, "B T H K"], positions: Int[Array, "T"], theta: float = 10_000.0
) -> Float[Array, "B T H K"]:
    """Rotary position embedding (Su et al. 2021, eq. 34), in the half-split pairing of GPT-NeoX and Llama.

    Channels i and i + K/2 are turned by the angle `position · theta^(-2i/K)`; K is even.
    """
    half = x.shape[-1] // 2
    frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions.astype(jnp.float32)[:, None] * frequencies[None, :]
    shape = (*x.shape[:-1], half)
    cos = jnp.broadcast_to(jnp.cos(angles)[None, :, None, :], shape)
    sin = jnp.broadcast_to(jnp.sin(angles)[None, :, None, :], shape)
    first, second = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)
