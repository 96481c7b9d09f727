"""The tokens between the questions of a recall task."""

import enum

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from sandbox.shapes import PRNGKey


class Filler(enum.Enum):
    """Which tokens stand between pairs and queries."""

    zeros = "zeros"
    """Token 0: the setting of Zoology's published figure 2."""
    random = "random"
    """Tokens uniform over the whole vocabulary, keys and values of the sequence included, never scored: the
    default of Zoology's code."""
    random_no_live_keys = "random_no_live_keys"
    """Tokens uniform over the vocabulary without the keys of the sequence: what looks like a query is one."""


def draw_filler(
    key: PRNGKey, filler: Filler, length: int, vocab_size: int, keys: Int[Array, "M"], live: Bool[Array, "M"]
) -> Int[Array, " length"]:
    """Draw `length` tokens of filler; `live` says which of the distinct `keys` the sequence has."""
    match filler:
        case Filler.zeros:
            return jnp.zeros(length, dtype=jnp.int32)
        case Filler.random:
            return jax.random.randint(key, (length,), 0, vocab_size, dtype=jnp.int32)
        case Filler.random_no_live_keys:
            # Keys that are not live move beyond the vocabulary. Of the others, the i-th smallest, k_i, has k_i - i
            # tokens below it that are no keys: a draw from what is left passes it if it is at least that.
            number = jnp.arange(keys.size, dtype=jnp.int32)
            tokens_below = jnp.sort(jnp.where(live, keys, vocab_size + number)) - number
            left = vocab_size - jnp.sum(live, dtype=jnp.int32)
            drawn = jax.random.randint(key, (length,), 0, left, dtype=jnp.int32)
            return drawn + jnp.searchsorted(tokens_below, drawn, side="right").astype(jnp.int32)
