"""Attention in a sliding window of W tokens, cut into blocks so that arithmetic and memory are O(T W).

T queries form blocks of C = min(T, W). A block sees S rows: its own and the W - 1 before it (and, if there are
several blocks, one more, which is in its future).
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def query_blocks(q: Float[Array, "B T H K"], window: int) -> Float[Array, "B blocks C H K"]:
    """The queries of each block; the last one is filled up with zeros."""
    size = min(q.shape[1], window)
    q = jnp.pad(q, ((0, 0), (0, -q.shape[1] % size), (0, 0), (0, 0)))
    return q.reshape(q.shape[0], -1, size, *q.shape[2:])


def window_blocks(rows: Float[Array, "B P G K"], length: int, window: int) -> Float[Array, "B blocks S G K"]:
    """The keys or values that each block of queries sees, of W - 1 carried `rows` and `length` new ones."""
    if length <= window:
        return rows[:, None]
    blocks = -(-length // window) + 1
    rows = jnp.pad(rows, ((0, 0), (0, blocks * window - rows.shape[1]), (0, 0), (0, 0)))
    rows = rows.reshape(rows.shape[0], blocks, window, *rows.shape[2:])
    return jnp.concatenate([rows[:, :-1], rows[:, 1:]], axis=2)


def window_positions(
    start: Int[Array, ""], length: int, window: int
) -> tuple[Int[Array, "blocks C"], Int[Array, "blocks S"]]:
    """Positions of the queries of `query_blocks` and of the rows of `window_blocks`; negative where empty."""
    size = min(length, window)
    seen = 2 * window if length > window else length + window - 1
    first = start + size * jnp.arange(-(-length // size))[:, None]
    return first + jnp.arange(size)[None], first - (window - 1) + jnp.arange(seen)[None]


def in_window(
    q_positions: Int[Array, "blocks C"], k_positions: Int[Array, "blocks S"], window: int
) -> Bool[Array, "blocks C S"]:
    """Which rows each query sees."""
    distance = q_positions[:, :, None] - k_positions[:, None, :]
    return (distance >= 0) & (distance < window) & (k_positions >= 0)[:, None, :]
