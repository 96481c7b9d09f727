"""A batch of the inputs that a rule gives as examples of itself."""

import jax

from sandbox.scans.rule import Example, Inputs
from sandbox.shapes import PRNGKey


def draw_batch(
    example: Example, key: PRNGKey, *, batch: int, tokens: int, heads: int, rows: int, columns: int
) -> Inputs:
    """Inputs of all heads of all sequences, each drawn from a key of its own.

    What the example varies over time has leaves `[B, T, H, …]`; what it holds fixed `[1, 1, H, …]`.
    """
    two_tokens = jax.eval_shape(lambda: example(key, 2, rows, columns))
    keys = jax.random.split(key, (batch, heads))
    drawn = jax.vmap(jax.vmap(lambda key: example(key, tokens, rows, columns), out_axes=1))(keys)

    def share(leaf: jax.Array, of_two_tokens: jax.ShapeDtypeStruct) -> jax.Array:
        return leaf[:1] if of_two_tokens.shape[0] == 1 else leaf

    return jax.tree.map(share, drawn, two_tokens)
