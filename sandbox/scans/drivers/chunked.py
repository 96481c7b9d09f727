"""Chunk by chunk in XLA: matrix products inside a chunk, a scan from chunk to chunk."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from sandbox.scans.drivers.heads import over_batch_and_heads
from sandbox.scans.rules.rule import Rule


def run_chunked(
    rule: Rule, state: Float[Array, "B H K V"], inputs: Any, chunk_size: int | None = None
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Scans `rule.chunk` over chunks of the axis of time of `inputs` (`[B, T, H, …]`, or `[1, T, H, …]`).

    Time is padded with zeros to whole chunks; a rule leaves the state unchanged there. The backward pass
    keeps the state at the start of each chunk and computes the rest again.
    """
    chunk = rule.chunk
    if chunk is None:
        raise NotImplementedError("implementation='chunked': this rule has no chunk form")
    num_tokens = jax.tree.leaves(inputs)[0].shape[1]
    size = chunk_size if chunk_size is not None else rule.default_chunk_size(inputs)
    size = min(size, _next_power_of_two(num_tokens))
    num_chunks = -(-num_tokens // size)

    def take_chunk(state: Float[Array, "B H K V"], inputs_c: Any) -> tuple[Array, Array]:
        return over_batch_and_heads(chunk, state, inputs_c)

    def chunks_first(leaf: Array) -> Array:
        """`[B, T, H, …]` to `[chunks, B, H, C, …]`."""
        padding = [(0, 0)] * leaf.ndim
        padding[1] = (0, num_chunks * size - num_tokens)
        leaf = jnp.pad(leaf, padding)
        leaf = leaf.reshape(leaf.shape[0], num_chunks, size, *leaf.shape[2:])
        return jnp.moveaxis(leaf, (1, 3), (0, 2))

    chunks = jax.tree.map(chunks_first, inputs)
    if num_chunks == 1:
        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        final_state, outputs = take_chunk(_not_a_broadcast(state), first)
        outputs = outputs[None]
    else:
        final_state, outputs = lax.scan(jax.checkpoint(take_chunk), state, chunks)
    outputs = jnp.moveaxis(outputs, (0, 2), (1, 3))
    outputs = outputs.reshape(outputs.shape[0], num_chunks * size, *outputs.shape[3:])
    return outputs[:, :num_tokens], final_state


def _not_a_broadcast(state: Float[Array, "B H K V"]) -> Float[Array, "B H K V"]:
    """The same state, in a form that XLA cannot see to be constant.

    XLA's CPU compiler (jax 0.10 to 0.12) may fuse a product with a broadcast, such as an empty state, wrongly:
    it then reads uninitialised memory. A scan over several chunks carries the state in memory of its own.
    """
    return state + 0.0 * lax.broadcasted_iota(state.dtype, state.shape, state.ndim - 1)


def _next_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
