"""Random inputs: the draws that examples of several rules share, and batches of any example."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.rule import Example, Inputs
from sandbox.shapes import PRNGKey


def draw_queries_keys_values(
    keys: Sequence[PRNGKey], tokens: int, rows: int, columns: int
) -> dict[str, Float[Array, "T _"]]:
    """Normal `q`, `k` and `v`, each from one of three random keys; `k` is scaled to a norm of about one."""
    q, k, v = keys
    normal = jax.random.normal
    return {
        "q": normal(q, (tokens, rows)),
        "k": normal(k, (tokens, rows)) * rows**-0.5,
        "v": normal(v, (tokens, columns)),
    }


def draw_log_decay(key: PRNGKey, kind: str | None, tokens: int, rows: int) -> Float[Array, "T _"] | None:
    """Log decays from weak to strong: one per token ("scalar"), or K ("channel")."""
    if kind is None:
        return None
    rates = {"scalar": 1, "channel": rows}[kind]
    return jax.nn.log_sigmoid(1.0 + jax.random.normal(key, (tokens, rates)))


def draw_unit_vectors(key: PRNGKey, tokens: int, rows: int) -> Float[Array, "T K"]:
    """Vectors of norm one, in uniformly random directions."""
    vectors = jax.random.normal(key, (tokens, rows))
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)


def with_each_decay(example: Callable[[str | None], Example]) -> dict[str, Example]:
    """The examples of a rule without decay, with one per head, and with one per channel."""
    return {
        "no decay": example(None),
        "scalar decay": example("scalar"),
        "channel decay": example("channel"),
    }


def draw_batch(
    example: Example, key: PRNGKey, *, batch: int, tokens: int, heads: int, rows: int, columns: int
) -> Inputs:
    """Draws inputs, leaves `[B, T, H, …]`, or `[1, 1, H, …]` for those that the example keeps fixed over time."""
    two_tokens = jax.eval_shape(lambda: example(key, 2, rows, columns))
    keys = jax.random.split(key, (batch, heads))
    drawn = jax.vmap(jax.vmap(lambda key: example(key, tokens, rows, columns), out_axes=1))(keys)

    def share(leaf: jax.Array, of_two_tokens: jax.ShapeDtypeStruct) -> jax.Array:
        return leaf[:1] if of_two_tokens.shape[0] == 1 else leaf

    return jax.tree.map(share, drawn, two_tokens)
