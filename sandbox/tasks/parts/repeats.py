"""Pairs whose key may have occurred before: finding the first occurrence without a table of the vocabulary."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from sandbox.shapes import PRNGKey
from sandbox.tasks.parts.without_replacement import draw_one_among


def first_occurrence(keys: Int[Array, "n W"], present: Bool[Array, " n"]) -> Int[Array, " n"]:
    """For each key, the index of the first earlier one that is `present` and equal to it; its own if none is."""
    number = jnp.arange(keys.shape[0], dtype=jnp.int32)
    earlier = present[None, :] & (number[None, :] < number[:, None])
    same = earlier & jnp.all(keys[:, None] == keys[None, :], axis=-1)
    return jnp.where(jnp.any(same, axis=1), jnp.argmax(same, axis=1).astype(jnp.int32), number)


def draw_present_key(key: PRNGKey, first: Int[Array, " n"], present: Bool[Array, " n"]) -> Int[Array, ""]:
    """Draw one of the different keys that are present, all equally likely; returns its first index."""
    return draw_one_among(key, present & (first == jnp.arange(first.size)))
