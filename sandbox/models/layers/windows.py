"""Sliding-window attention over W tokens, cut into blocks so that arithmetic and memory are O(T W).

T queries form blocks of C = min(T, W). A block attends to S rows: its own and the W - 1 before it, plus one masked
future row if there are several blocks.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sandbox.models.segments import segment_numbers


def query_blocks(q: Float[Array, "B T H K"], window: int) -> Float[Array, "B blocks C H K"]:
    """Cuts queries into blocks; pads the last one with zeros."""
    size = min(q.shape[1], window)
    q = jnp.pad(q, ((0, 0), (0, -q.shape[1] % size), (0, 0), (0, 0)))
    return q.reshape(q.shape[0], -1, size, *q.shape[2:])


def window_blocks(rows: Float[Array, "B P G K"], length: int, window: int) -> Float[Array, "B blocks S G K"]:
    """The keys or values for each block of queries, from W - 1 cached `rows` followed by `length` new ones."""
    if length <= window:
        return rows[:, None]
    blocks = -(-length // window) + 1
    rows = jnp.pad(rows, ((0, 0), (0, blocks * window - rows.shape[1]), (0, 0), (0, 0)))
    rows = rows.reshape(rows.shape[0], blocks, window, *rows.shape[2:])
    return jnp.concatenate([rows[:, :-1], rows[:, 1:]], axis=2)


def window_positions(
    start: Int[Array, ""], length: int, window: int
) -> tuple[Int[Array, "blocks C"], Int[Array, "blocks S"]]:
    """Positions of `query_blocks` and of `window_blocks`; those of empty rows are negative."""
    size = min(length, window)
    seen = 2 * window if length > window else length + window - 1
    first = start + size * jnp.arange(-(-length // size))[:, None]
    return first + jnp.arange(size)[None], first - (window - 1) + jnp.arange(seen)[None]


def in_window(
    q_positions: Int[Array, "blocks C"], k_positions: Int[Array, "blocks S"], window: int
) -> Bool[Array, "blocks C S"]:
    """Mask of the rows that each query sees."""
    distance = q_positions[:, :, None] - k_positions[:, None, :]
    return (distance >= 0) & (distance < window) & (k_positions >= 0)[:, None, :]


def window_within_segments(
    visible: Bool[Array, "blocks C S"], length: int, window: int
) -> Bool[Array, "blocks C S"] | Bool[Array, "B blocks C S"]:
    """The mask of `in_window` without the rows of other segments."""
    if (numbers := segment_numbers()) is None:
        return visible
    own = numbers.astype(jnp.float32)[:, :, None, None]
    of_queries = query_blocks(own, window)[..., 0, 0]
    of_keys = window_blocks(jnp.pad(own, ((0, 0), (window - 1, 0), (0, 0), (0, 0))), length, window)[..., 0, 0]
    return visible[None] & (of_queries[..., :, None] == of_keys[..., None, :])
