"""Pairs whose key may have occurred before: finding the first occurrence without a table of the vocabulary."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from sandbox.shapes import PRNGKey


def first_occurrence(keys: Int[Array, "n W"], present: Bool[Array, "n"]) -> Int[Array, "n"]:
    """For each row, the number of the first earlier row that is `present` and equal to it; if none is, its own."""
    number = jnp.arange(keys.shape[0], dtype=jnp.int32)
    earlier = present[None, :] & (number[None, :] < number[:, None])
    same = earlier & jnp.all(keys[:, None] == keys[None, :], axis=-1)
    return jnp.where(jnp.any(same, axis=1), jnp.argmax(same, axis=1).astype(jnp.int32), number)


def draw_present_key(key: PRNGKey, first: Int[Array, "n"], present: Bool[Array, "n"]) -> Int[Array, ""]:
    """Draw the first occurrence of one of the different keys that are present, all equally likely."""
    candidates = present & (first == jnp.arange(first.size))
    return jax.random.categorical(key, jnp.where(candidates, 0.0, -jnp.inf)).astype(jnp.int32)
