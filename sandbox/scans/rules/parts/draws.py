"""What the examples of several rules draw alike."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.shapes import PRNGKey


def draw_log_decay(key: PRNGKey, kind: str | None, tokens: int, rows: int) -> Float[Array, "T _"] | None:
    """Logs of decays that keep most of a state or less of it: one a token for kind "scalar", K for "channel"."""
    if kind is None:
        return None
    rates = {"scalar": 1, "channel": rows}[kind]
    return jax.nn.log_sigmoid(1.0 + jax.random.normal(key, (tokens, rates)))


def draw_unit_vectors(key: PRNGKey, tokens: int, rows: int) -> Float[Array, "T K"]:
    """Vectors of length one in any direction."""
    vectors = jax.random.normal(key, (tokens, rows))
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
