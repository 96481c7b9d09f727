"""Rows of keys or values that every block of queries sees besides its own."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def in_front(
    rows: Float[Array, "B shared G K"], blocks: Float[Array, "B blocks own G K"]
) -> Float[Array, "B blocks S G K"]:
    """`rows` in front of the rows of each block."""
    shape = (*blocks.shape[:2], *rows.shape[1:])
    return jnp.concatenate([jnp.broadcast_to(rows[:, None], shape), blocks], axis=2)
