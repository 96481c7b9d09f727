"""Exact draws without replacement, in order, made for `jit` and `vmap`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sandbox.shapes import PRNGKey


def draw_uniform(key: PRNGKey, population: int, draws: int) -> Int[Array, " draws"]:
    """Draw distinct numbers `0 <= x < population`, every ordered selection equally likely.

    The result is that of a Fisher-Yates shuffle stopped after `draws` swaps: step j exchanges entries j and r_j of
    a table, with r_j uniform over j..population-1, and outputs the old entry r_j. The table is never stored: what
    stands at an index follows from the few swaps that touched it, all found at once by comparing the r_j.

    Raises:
        ValueError: more draws than the population holds.
    """
    if draws > population:
        raise ValueError(f"{draws} distinct numbers cannot be drawn from a population of {population}")
    step = jnp.arange(draws, dtype=jnp.int32)
    index = jax.random.randint(key, (draws,), step, population, dtype=jnp.int32)
    earlier = step[None, :] < step[:, None]

    def latest(touches: Bool[Array, "draws draws"]) -> Int[Array, "draws"]:
        """For each step, the last earlier step that touched the index in question; -1 if none."""
        return jnp.max(jnp.where(touches & earlier, step[None, :], -1), axis=1)

    # Swap k moves entry k to index r_k. What stands at index j at step j therefore came there at the latest k with
    # r_k = j, from index k, and so on back to an index that nothing had touched: the root of a chain, which holds
    # its own number. Each iteration doubles the length of the chains that are followed.
    moved_at = latest(index[None, :] == step[:, None])
    standing = jnp.where(moved_at >= 0, moved_at, step)
    for _ in range((draws - 1).bit_length()):
        standing = standing[standing]

    filled_at = latest(index[None, :] == index[:, None])
    return jnp.where(filled_at >= 0, standing[filled_at], index)


def draw_weighted(key: PRNGKey, log_weights: Float[Array, " population"], draws: int) -> Int[Array, " draws"]:
    """Draw distinct numbers one after another, each with probability proportional to its weight among those left.

    This is the Plackett-Luce order, drawn as the largest of `log_weights` plus independent Gumbel noise. A number
    of weight zero (`-inf`) is drawn only when all others are.
    """
    noise = jax.random.gumbel(key, log_weights.shape, dtype=log_weights.dtype)
    return jax.lax.top_k(log_weights + noise, draws)[1]


def draw_among(key: PRNGKey, allowed: Bool[Array, " population"], draws: int) -> Int[Array, " draws"]:
    """Draw distinct numbers among those that are allowed, every ordered selection equally likely.

    When there are fewer than `draws`, the rest are others.
    """
    return draw_weighted(key, jnp.where(allowed, 0.0, -jnp.inf), draws)


def draw_one_among(key: PRNGKey, allowed: Bool[Array, " population"]) -> Int[Array, ""]:
    """Draw one number among those that are allowed, all equally likely."""
    return jax.random.categorical(key, jnp.where(allowed, 0.0, -jnp.inf)).astype(jnp.int32)
