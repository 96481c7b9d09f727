"""The driver by steps: token by token, with a gradient that is derived for one step at a time.

The gradient of a plain scan keeps whatever each step needs for its own gradient: several arrays of the size of the
state per token, which take longer to write and read than the step takes to compute. Here only states are kept: all
of them while they are small, else those at chunk starts, and the backward pass recomputes the others.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array

from sandbox.scans.layout import (
    cast,
    compute_dtype,
    join,
    num_tokens,
    of_every_token,
    over_batch_and_heads,
    size_in_bytes,
    split_fixed,
    zeros_like_batch,
)
from sandbox.scans.rule import Inputs, Outputs, Rule, State

Tokens = Any
"""A tree with leaves `[T, B, H, …]`."""

Chunks = list[Tokens]
"""All tokens in order: trees with leaves `[chunks, C, B, H, …]`, of which the last may have another C.

Chunks of one token are one tree with leaves `[T, B, H, …]`.
"""

KEPT_BYTES = 2**24
"""Bytes of states up to which those of all tokens are kept. From twice as many on, recomputing them is faster."""


def run_steps(
    rule: Rule, state: State, inputs: Inputs, *, dtype: DTypeLike, chunk_size: int | None = None
) -> tuple[Outputs, State]:
    """Scans `rule.step` over the time axis; leaves as `layout` describes them, outputs in `dtype`.

    One state is kept per `chunk_size` tokens; by default each while that takes `KEPT_BYTES`, else each 16th.
    Raises TypeError in forward mode (`jax.jvp`).
    """
    if chunk_size is None:
        chunk_size = 1 if num_tokens(inputs) * size_in_bytes(state) <= KEPT_BYTES else 16
    varying, fixed = split_fixed(inputs)
    fixed = of_every_token(fixed, compute_dtype(inputs))
    time_first = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), varying)
    state, outputs = _run(rule, dtype, chunk_size, state, time_first, fixed)
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), outputs), state


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _run(
    rule: Rule, dtype: DTypeLike, chunk_size: int, state: State, varying: Tokens, fixed: Inputs
) -> tuple[State, Outputs]:
    """The final state and the outputs of all tokens."""

    def take_step(state: State, varying_t: Inputs) -> tuple[State, Outputs]:
        return _take_step(rule, dtype, state, varying_t, fixed)

    return lax.scan(take_step, state, varying)


def _run_forward(
    rule: Rule, dtype: DTypeLike, chunk_size: int, state: State, varying: Tokens, fixed: Inputs
) -> tuple[tuple[State, Outputs], Any]:
    """What `_run` returns, and what its backward pass needs."""

    def take_step(state: State, varying_t: Inputs) -> tuple[State, tuple[State, Outputs]]:
        after, outputs = _take_step(rule, dtype, state, varying_t, fixed)
        return after, (state, outputs)

    def take_chunk(state: State, chunk: Tokens) -> tuple[State, tuple[State, Outputs]]:
        after, outputs = _run(rule, dtype, chunk_size, state, chunk, fixed)
        return after, (state, outputs)

    chunks = into_chunks(varying, chunk_size)
    starts_and_outputs = []
    for part in chunks:
        state, results = lax.scan(take_step if chunk_size == 1 else take_chunk, state, part)
        starts_and_outputs.append(results)
    starts, outputs = zip(*starts_and_outputs, strict=True)
    return (state, from_chunks(outputs, chunk_size)), (starts, chunks, fixed)


def _run_backward(
    rule: Rule, dtype: DTypeLike, chunk_size: int, kept: Any, gradients: tuple[State, Outputs]
) -> tuple[State, Tokens, Inputs]:
    """The gradients of the initial state and of the inputs."""
    starts, chunks, fixed = kept
    d_state, d_outputs = gradients

    def to_next(state: State, varying_t: Inputs) -> tuple[State, State]:
        after, _ = _take_step(rule, dtype, state, varying_t, fixed)
        return after, state

    def pull_back(carry: tuple[State, Inputs], token: Any) -> tuple[tuple[State, Inputs], Inputs]:
        (d_state, d_fixed), (state, varying_t, d_outputs_t) = carry, token
        inputs_t = _inputs_of_token(state, varying_t, fixed)
        d_state, d_inputs = _pull_back_step(rule, state, inputs_t, d_state, d_outputs_t)
        d_fixed = jax.tree.map(jnp.add, d_fixed, _only(d_inputs, fixed))
        return (d_state, d_fixed), jax.tree.map(_as_gradient, _only(d_inputs, varying_t), varying_t)

    def pull_back_chunk(carry: tuple[State, Inputs], chunk: Any) -> tuple[tuple[State, Inputs], Tokens]:
        start, varying_c, d_outputs_c = chunk
        _, states = lax.scan(to_next, start, varying_c)
        return lax.scan(pull_back, carry, (states, varying_c, d_outputs_c), reverse=True)

    zeros = zeros_like_batch(jax.tree.leaves(d_state))
    d_fixed = jax.tree.map(
        lambda leaf: zeros.reshape(*zeros.shape, *[1] * (leaf.ndim - 2)) + jnp.zeros_like(leaf[0]), fixed
    )
    carry = (d_state, d_fixed)
    d_varying: Chunks = []
    for part in reversed(list(zip(starts, chunks, into_chunks(d_outputs, chunk_size), strict=True))):
        carry, d_part = lax.scan(pull_back if chunk_size == 1 else pull_back_chunk, carry, part, reverse=True)
        d_varying.insert(0, d_part)
    d_state, d_fixed = carry
    return d_state, from_chunks(d_varying, chunk_size), jax.tree.map(_as_gradient, d_fixed, fixed)


_run.defvjp(_run_forward, _run_backward)


def _take_step(
    rule: Rule, dtype: DTypeLike, state: State, varying_t: Inputs, fixed: Inputs
) -> tuple[State, Outputs]:
    """The next state and the outputs of one token."""
    state, outputs = over_batch_and_heads(rule.step, state, _inputs_of_token(state, varying_t, fixed))
    return state, cast(outputs, dtype)


def _pull_back_step(
    rule: Rule, state: State, inputs_t: Inputs, d_state: State, d_outputs_t: Outputs
) -> tuple[State, Inputs]:
    """The gradients of the state before a token and of its inputs, the latter for each sequence.

    To sum those of shared inputs here, token by token, would take longer than to add them up and sum at the end.
    """

    def of_one_head(state: State, rest: tuple[Inputs, tuple[State, Outputs]]) -> tuple[State, Inputs]:
        inputs_t, gradients = rest
        return jax.vjp(rule.step, state, inputs_t)[1](gradients)

    exact = jax.tree.leaves(state)[0].dtype
    return over_batch_and_heads(of_one_head, state, (inputs_t, (d_state, cast(d_outputs_t, exact))))


def _inputs_of_token(state: State, varying_t: Inputs, fixed: Inputs) -> Inputs:
    """All inputs, in the precision of the state."""
    return join(cast(varying_t, jax.tree.leaves(state)[0].dtype), fixed)


def into_chunks(tokens: Tokens, size: int) -> Chunks:
    """The whole chunks and, if T is not a multiple of `size`, a shorter one."""
    if size == 1:
        return [tokens]
    length = jax.tree.leaves(tokens)[0].shape[0]
    whole = length - length % size

    def part(first: int, last: int) -> Tokens:
        tokens_per_chunk = min(size, last - first)
        return jax.tree.map(lambda leaf: leaf[first:last].reshape(-1, tokens_per_chunk, *leaf.shape[1:]), tokens)

    return [part(first, last) for first, last in ((0, whole), (whole, length)) if first < last]


def from_chunks(chunks: Sequence[Tokens], size: int) -> Tokens:
    """Undoes `into_chunks`."""
    if size == 1:
        return chunks[0]
    return jax.tree.map(
        lambda *parts: jnp.concatenate([leaf.reshape(-1, *leaf.shape[2:]) for leaf in parts]), *chunks
    )


def _only(inputs: Inputs, like: Inputs) -> Inputs:
    """The inputs, with None for those that are None in `like`."""
    return jax.tree.map(
        lambda one, leaf: None if one is None else leaf, like, inputs, is_leaf=lambda leaf: leaf is None
    )


def _as_gradient(leaf: Array, of: Array) -> Array:
    """The gradient of an input from that for each sequence: their sum, if all sequences share the input."""
    summed = leaf if of.shape[0] == leaf.shape[0] else jnp.sum(leaf, axis=0, keepdims=True)
    return summed.astype(of.dtype)
