"""The forward and backward pass over one chunk of tokens in a program of a kernel, on any accelerator.

Kernels differentiate the rule itself, so only the state at the start of every chunk is kept. References are to
arrays of one head: `[T, …]`, or one chunk of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jaxtyping import Array, Int

from sandbox.scans.kernels.plan import Leaf, Plan
from sandbox.scans.layout import join, whole_chunk
from sandbox.scans.rule import Inputs, Outputs, State, Update

Refs = Any
"""A tree of references to memory."""

Index = int | Int[Array, ""]


class ForwardRefs(NamedTuple):
    """The arguments of a forward kernel, in order: what it reads, then what it writes."""

    state: Refs
    varying: Refs
    fixed: Refs
    outputs: Refs
    final_state: Refs
    starts: Refs
    """The state at the start of every chunk; None without gradients."""


class BackwardRefs(NamedTuple):
    """The arguments of a backward kernel, in order: what it reads, what it writes, and its scratch memory."""

    starts: Refs
    varying: Refs
    fixed: Refs
    d_outputs: Refs
    d_final_state: Refs
    d_state: Refs
    d_varying: Refs
    d_fixed: Refs
    step_states: Refs
    """Scratch memory for the state before each token of a chunk; None for rules with a chunk form."""


class Tokens(NamedTuple):
    """The tokens of a chunk: the index of the first one in memory, and the number of tokens."""

    first: Index
    number: Index


def load(leaves: Any, refs: Refs, index: Any = ...) -> Any:
    """Reads float32 values in the shapes of the rule; with an `index`, one entry of the first axis."""

    def read(leaf: Leaf, ref: Any) -> Array:
        return ref[index].astype(jnp.float32).reshape(*leaf.leading, *leaf.shape)

    return jax.tree.map(read, leaves, refs)


def store(refs: Refs, values: Any, index: Any = ...) -> None:
    """Writes values in the precision and shapes of memory; with an `index`, one entry of the first axis."""

    def write(ref: Any, value: Array) -> None:
        ref[index] = value.astype(ref.dtype).reshape(ref.shape if index is ... else ref.shape[1:])

    jax.tree.map(write, refs, values)


def forward_chunk(plan: Plan, refs: ForwardRefs, tokens: Tokens, state: State, fixed: Inputs) -> State:
    """Writes the outputs of a chunk, and returns the state after it."""
    if (chunk := plan.rule.chunk) is not None:
        window = pl.ds(tokens.first, plan.chunk_size)
        state, values = _update(plan, chunk, tokens, state, _load_tokens(refs.varying, window), fixed)
        _store_tokens(refs.outputs, values, window)
        return state

    def take_step(t: Index, state: State) -> State:
        state, values = plan.rule.step(state, join(load(plan.varying, refs.varying, tokens.first + t), fixed))
        store(refs.outputs, values, tokens.first + t)
        return state

    return lax.fori_loop(0, tokens.number, take_step, state)


def backward_chunk(
    plan: Plan,
    refs: BackwardRefs,
    tokens: Tokens,
    state: State,
    fixed: Inputs,
    d_state: State,
    barrier: Callable[[], None],
) -> tuple[State, Inputs]:
    """Writes the gradients of varying inputs; returns those of the state before the chunk and of fixed inputs.

    `state` is the state before the chunk, `d_state` the gradient of the state after it. `barrier` separates
    writing the states of single steps from reading them.
    """
    if (chunk := plan.rule.chunk) is None:
        return _backward_steps(plan, refs, tokens, state, fixed, d_state, barrier)
    window = pl.ds(tokens.first, plan.chunk_size)

    def update(state: State, varying: Inputs, fixed: Inputs) -> tuple[State, Outputs]:
        return _update(plan, chunk, tokens, state, varying, fixed)

    _, pullback = jax.vjp(update, state, _load_tokens(refs.varying, window), fixed)
    d_state, d_tokens, d_fixed = pullback((d_state, _load_tokens(refs.d_outputs, window)))
    _store_tokens(refs.d_varying, d_tokens, window)
    return d_state, d_fixed


def _backward_steps(
    plan: Plan,
    refs: BackwardRefs,
    tokens: Tokens,
    state: State,
    fixed: Inputs,
    d_state: State,
    barrier: Callable[[], None],
) -> tuple[State, Inputs]:
    """`backward_chunk` for rules without a chunk form: a forward loop that keeps every state, then one back."""

    def step(state: State, varying: Inputs, fixed: Inputs) -> tuple[State, Outputs]:
        return plan.rule.step(state, join(varying, fixed))

    def keep_state(t: Index, state: State) -> State:
        store(refs.step_states, state, t)
        state, _ = step(state, load(plan.varying, refs.varying, tokens.first + t), fixed)
        return state

    def step_back(passed: Index, gradients: tuple[State, Inputs]) -> tuple[State, Inputs]:
        t = tokens.number - 1 - passed
        d_state, d_fixed = gradients
        state = load(plan.state, refs.step_states, t)
        _, pullback = jax.vjp(step, state, load(plan.varying, refs.varying, tokens.first + t), fixed)
        d_outputs = load(plan.outputs, refs.d_outputs, tokens.first + t)
        d_state, d_token, d_fixed_here = pullback((d_state, d_outputs))
        store(refs.d_varying, d_token, tokens.first + t)
        return d_state, jax.tree.map(jnp.add, d_fixed, d_fixed_here)

    lax.fori_loop(0, tokens.number, keep_state, state)
    barrier()
    return lax.fori_loop(0, tokens.number, step_back, (d_state, jax.tree.map(jnp.zeros_like, fixed)))


def _update(
    plan: Plan, chunk: Update, tokens: Tokens, state: State, varying: Inputs, fixed: Inputs
) -> tuple[State, Outputs]:
    """Applies the chunk form of the rule to the tokens that exist."""
    exists = lax.broadcasted_iota(jnp.int32, (plan.chunk_size, 1), 0) < tokens.number
    return chunk(state, whole_chunk(plan.rule, varying, fixed, exists))


def _load_tokens(refs: Refs, window: Any) -> Any:
    return jax.tree.map(lambda ref: ref[window].astype(jnp.float32), refs)


def _store_tokens(refs: Refs, values: Any, window: Any) -> None:
    def write(ref: Any, value: Array) -> None:
        ref[window] = value.astype(ref.dtype)

    jax.tree.map(write, refs, values)
