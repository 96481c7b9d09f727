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
    # As wide as x, so that XLA keeps them: it would fuse narrower ones into what reads the result, and compute
    # each anew for every cell of a memory that the result is written to.
    cos = jnp.concatenate([jnp.cos(angles), jnp.cos(angles)], axis=-1)[None, :, None, :]
    sin = jnp.concatenate([-jnp.sin(angles), jnp.sin(angles)], axis=-1)[None, :, None, :]
    numbers = x.astype(jnp.float32)
    partners = jnp.concatenate([numbers[..., half:], numbers[..., :half]], axis=-1)
    return (numbers * cos + partners * sin).astype(x.dtype)
