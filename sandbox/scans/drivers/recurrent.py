"""Token by token: the definition, and the cheapest way to take a single step."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from sandbox.scans.drivers.heads import over_batch_and_heads
from sandbox.scans.rules.rule import Rule


def run_recurrent(
    rule: Rule, state: Float[Array, "B H K V"], inputs: Any, chunk_size: int | None = None
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Scans `rule.step` over the axis of time of `inputs` (`[B, T, H, …]`, or `[1, T, H, …]` where shared).

    One token is one call of the step, without a loop. `chunk_size` has no meaning here and is not used.
    """
    del chunk_size

    def take_step(state: Float[Array, "B H K V"], inputs_t: Any) -> tuple[Array, Array]:
        return over_batch_and_heads(rule.step, state, inputs_t)

    time_first = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), inputs)
    num_tokens = jax.tree.leaves(time_first)[0].shape[0]
    if num_tokens == 1:
        final_state, output = take_step(state, jax.tree.map(lambda leaf: leaf[0], time_first))
        return output[:, None], final_state
    final_state, outputs = lax.scan(take_step, state, time_first)
    return jnp.moveaxis(outputs, 0, 1), final_state
