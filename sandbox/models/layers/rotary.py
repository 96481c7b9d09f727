"""Rotary position embedding."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def rotate(
    x: Float[Array, "B T H K"], positions: Int[Array, "T"], theta: float = 10_000.0
) -> Float[Array, "B T H K"]:
    """Rotates channels i and i + K/2 by the angle `position · theta^(-2i/K)` (Su et al. 2021, eq. 34); K is even.

    GPT-NeoX and Llama pair channels in this way.
    """
    half = x.shape[-1] // 2
    frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions.astype(jnp.float32)[:, None] * frequencies[None, :]
    # As wide as x, so that XLA stores them: it would fuse narrower ones into their consumers and recompute them
    # for every element of a memory that the result is written to.
    cos = jnp.concatenate([jnp.cos(angles), jnp.cos(angles)], axis=-1)[None, :, None, :]
    sin = jnp.concatenate([-jnp.sin(angles), jnp.sin(angles)], axis=-1)[None, :, None, :]
    x32 = x.astype(jnp.float32)
    partners = jnp.concatenate([x32[..., half:], x32[..., :half]], axis=-1)
    return (x32 * cos + partners * sin).astype(x.dtype)


def rotate_by(x: Float[Array, "*rest K"], angles: Float[Array, "*parts A"]) -> Float[Array, "*rest K"]:
    """Rotates channels 2i and 2i + 1 by angle i, in float32; K = 2A."""
    pairs = x.astype(jnp.float32).reshape(*x.shape[:-1], -1, 2)
    cos, sin, (even, odd) = jnp.cos(angles), jnp.sin(angles), jnp.moveaxis(pairs, -1, 0)
    turned = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return turned.reshape(x.shape).astype(x.dtype)


def turned_so_far(
    turns: Float[Array, "B T ..."], before: Float[Array, "B ..."]
) -> tuple[Float[Array, "B T ..."], Float[Array, "B ..."]]:
    """The angle at each token, which turns on from those before, and the last one, in 0..2π."""
    angles = before[:, None] + jnp.cumsum(turns, axis=1)
    return angles, jnp.mod(angles[:, -1], 2 * math.pi)
