"""The recurrent driver, token by token: the definition, and the cheapest way to take a single step."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from sandbox.scans.layout import (
    cast,
    compute_dtype,
    join,
    num_tokens,
    of_every_token,
    over_batch_and_heads,
    split_fixed,
)
from sandbox.scans.rule import Inputs, Outputs, Rule, State


def run_recurrent(
    rule: Rule, state: State, inputs: Inputs, *, dtype: DTypeLike, chunk_size: int | None = None
) -> tuple[Outputs, State]:
    """Scans `rule.step` over the time axis; leaves as `layout` describes them, outputs in `dtype`.

    A single token needs no loop. `chunk_size` is ignored.
    """
    del chunk_size
    exact = compute_dtype(inputs)
    varying, fixed = split_fixed(inputs)
    fixed = of_every_token(fixed, exact)

    def take_step(state: State, inputs_t: Inputs) -> tuple[State, Outputs]:
        state, outputs = over_batch_and_heads(rule.step, state, join(cast(inputs_t, exact), fixed))
        return state, cast(outputs, dtype)

    if num_tokens(inputs) == 1:
        final_state, outputs = take_step(state, jax.tree.map(lambda leaf: leaf[:, 0], varying))
        return jax.tree.map(lambda leaf: leaf[:, None], outputs), final_state
    time_first = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), varying)
    final_state, outputs = lax.scan(take_step, state, time_first)
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), outputs), final_state
