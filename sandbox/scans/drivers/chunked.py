"""The chunked driver: matrix products within a chunk, a scan over chunks, in XLA."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.typing import DTypeLike
from jaxtyping import Array, Bool

from sandbox.scans.drivers.split import split_by_state
from sandbox.scans.drivers.steps import run_steps
from sandbox.scans.layout import (
    cast,
    compute_dtype,
    matmul_precision,
    next_power_of_two,
    num_tokens,
    of_every_token,
    over_batch_and_heads,
    padding_of,
    size_in_bytes,
    split_fixed,
    whole_chunk,
)
from sandbox.scans.rule import Inputs, Outputs, Rule, State
from sandbox.xla_workarounds import not_a_broadcast

LARGEST_CHUNK_KEPT = 32
"""Largest chunk in tokens whose products are kept: at 64, storing them takes 27 % longer than recomputing."""

SMALL = 2**22
"""Bytes of inputs up to which all chunks are prepared at once; at 25 MB that takes 1.3 times as long as singly."""


def run_chunked(
    rule: Rule, state: State, inputs: Inputs, *, dtype: DTypeLike, chunk_size: int | None = None
) -> tuple[Outputs, State]:
    """Scans `rule.chunk` over chunks of the time axis; leaves as `layout` describes them, outputs in `dtype`.

    A rule without a chunk form is run by `run_steps`. If the inputs are `SMALL`, what does not depend on the state
    is computed for all chunks at once and kept for the backward pass. If not, the backward pass keeps the state at
    the start of each chunk and what `keeps_small_products` selects, and recomputes the rest.
    """
    if (update := rule.chunk) is None:
        return run_steps(rule, state, inputs, dtype=dtype, chunk_size=chunk_size)
    exact, tokens = compute_dtype(inputs), num_tokens(inputs)
    size = chunk_size if chunk_size is not None else rule.default_chunk_size(inputs)
    size = min(size, next_power_of_two(tokens))
    num_chunks = -(-tokens // size)
    varying, fixed = split_fixed(inputs)
    fixed = of_every_token(fixed, exact)
    state = jax.tree.map(not_a_broadcast, state)

    def take_chunk(state: State, chunk: tuple[Inputs, Bool[Array, "C"]]) -> tuple[State, Outputs]:
        varying_c, exists = chunk

        def update_head(state: State, varying_and_fixed: tuple[Inputs, Inputs]) -> tuple[State, Outputs]:
            return update(state, whole_chunk(rule, *varying_and_fixed, exists[:, None]))

        with jax.default_matmul_precision(matmul_precision(inputs)):
            state, outputs = over_batch_and_heads(update_head, state, (cast(varying_c, exact), fixed))
        return state, cast(outputs, dtype)

    def chunks_first(leaf: Array, number: float) -> Array:
        """`[B, T, H, …]` to `[chunks, B, H, C, …]`."""
        padding = [(0, 0)] * leaf.ndim
        padding[1] = (0, num_chunks * size - tokens)
        leaf = jnp.pad(leaf, padding, constant_values=number)
        leaf = leaf.reshape(leaf.shape[0], num_chunks, size, *leaf.shape[2:])
        return jnp.moveaxis(leaf, (1, 3), (0, 2))

    def time_second(leaf: Array) -> Array:
        """`[chunks, B, H, C, …]` to `[B, T, H, …]`."""
        leaf = jnp.moveaxis(leaf, (0, 2), (1, 3))
        return leaf.reshape(leaf.shape[0], num_chunks * size, *leaf.shape[3:])[:, :tokens]

    exists = (jnp.arange(num_chunks * size) < tokens).reshape(num_chunks, size)
    chunks = (jax.tree.map(chunks_first, varying, padding_of(rule, varying)), exists)
    first = jax.tree.map(lambda leaf: leaf[0], chunks)
    if num_chunks == 1:
        final_state, outputs = take_chunk(state, first)
        outputs = jax.tree.map(lambda leaf: leaf[None], outputs)
    elif size_in_bytes(varying) <= SMALL:
        prepare, finish = split_by_state(take_chunk, state, first)
        final_state, outputs = lax.scan(finish, state, jax.vmap(prepare)(chunks), unroll=8)
    else:
        final_state, outputs = lax.scan(
            jax.checkpoint(take_chunk, policy=keeps_small_products(size)), state, chunks, unroll=2
        )
    return jax.tree.map(time_second, outputs), final_state


def keeps_small_products(chunk_size: int) -> Callable[..., bool]:
    """A checkpoint policy that keeps `[C, C]` products for C up to `LARGEST_CHUNK_KEPT`."""

    def is_kept(primitive: Primitive, *operands: jax.core.ShapedArray, **parameters: Any) -> bool:
        if primitive is not lax.dot_general_p or chunk_size > LARGEST_CHUNK_KEPT:
            return False
        contracted, batch = parameters["dimension_numbers"]
        rows, columns = (
            [length for axis, length in enumerate(operand.shape) if axis not in (*summed, *alike)]
            for operand, summed, alike in zip(operands, contracted, batch, strict=True)
        )
        return rows == columns == [chunk_size]

    return is_kept
