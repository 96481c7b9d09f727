"""What a program of a kernel does with one chunk of tokens, forward and backward, on any accelerator.

The derivative of a chunk is taken here, inside the kernel, by differentiating the rule itself: nothing but the
state at the start of every chunk is kept. References are to arrays of one head, `[T, …]` or a chunk of them.
"""

from collections.abc import Callable
from typing import Any

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


def load(leaves: Any, refs: Refs, index: Any = ...) -> Any:
    """What is stored, in float32 and in the shapes that the rule sees; with an `index`, along the first axis."""

    def read(leaf: Leaf, ref: Any) -> Array:
        return ref[index].astype(jnp.float32).reshape(*leaf.leading, *leaf.shape)

    return jax.tree.map(read, leaves, refs)


def store(refs: Refs, values: Any, index: Any = ...) -> None:
    """Writes values, in the precision and the shapes of the memory; with an `index`, along its first axis."""

    def write(ref: Any, value: Array) -> None:
        ref[index] = value.astype(ref.dtype).reshape(ref.shape if index is ... else ref.shape[1:])

    jax.tree.map(write, refs, values)


def forward_chunk(
    plan: Plan, state: State, varying: Refs, fixed: Inputs, outputs: Refs, *, first: Index, count: Index
) -> State:
    """Writes the outputs of a chunk, and returns the state after it.

    `first` is where it begins in memory, and `count` the number of its tokens that exist.
    """
    if (chunk := plan.rule.chunk) is not None:
        tokens = pl.ds(first, plan.chunk_size)
        state, values = _update(plan, chunk, state, _load_tokens(varying, tokens), fixed, count)
        _store_tokens(outputs, values, tokens)
        return state

    def take_step(t: Index, state: State) -> State:
        state, values = plan.rule.step(state, join(load(plan.varying, varying, first + t), fixed))
        store(outputs, values, first + t)
        return state

    return lax.fori_loop(0, count, take_step, state)


def backward_chunk(
    plan: Plan,
    state: State,
    varying: Refs,
    fixed: Inputs,
    d_outputs: Refs,
    d_state: State,
    d_varying: Refs,
    kept_states: Refs,
    *,
    first: Index,
    count: Index,
    barrier: Callable[[], None],
) -> tuple[State, Inputs]:
    """Writes the gradients of what varies in a chunk; returns those of the state before it and of what is fixed.

    `state` is that before the chunk, `d_state` the gradient of the one after it. A rule without a chunk form needs
    `kept_states`, room for the state before each token, and a `barrier` before what is written there is read.
    """
    if (chunk := plan.rule.chunk) is not None:
        tokens = pl.ds(first, plan.chunk_size)

        def update(state: State, varying: Inputs, fixed: Inputs) -> tuple[State, Outputs]:
            return _update(plan, chunk, state, varying, fixed, count)

        _, pullback = jax.vjp(update, state, _load_tokens(varying, tokens), fixed)
        d_state, d_tokens, d_fixed = pullback((d_state, _load_tokens(d_outputs, tokens)))
        _store_tokens(d_varying, d_tokens, tokens)
        return d_state, d_fixed

    def step(state: State, varying: Inputs, fixed: Inputs) -> tuple[State, Outputs]:
        return plan.rule.step(state, join(varying, fixed))

    def keep_state(t: Index, state: State) -> State:
        store(kept_states, state, t)
        state, _ = step(state, load(plan.varying, varying, first + t), fixed)
        return state

    def step_back(passed: Index, gradients: tuple[State, Inputs]) -> tuple[State, Inputs]:
        t = count - 1 - passed
        d_state, d_fixed = gradients
        state = load(plan.state, kept_states, t)
        _, pullback = jax.vjp(step, state, load(plan.varying, varying, first + t), fixed)
        d_state, d_token, d_fixed_here = pullback((d_state, load(plan.outputs, d_outputs, first + t)))
        store(d_varying, d_token, first + t)
        return d_state, jax.tree.map(jnp.add, d_fixed, d_fixed_here)

    lax.fori_loop(0, count, keep_state, state)
    barrier()
    return lax.fori_loop(0, count, step_back, (d_state, jax.tree.map(jnp.zeros_like, fixed)))


def _update(
    plan: Plan, chunk: Update, state: State, varying: Inputs, fixed: Inputs, count: Index
) -> tuple[State, Outputs]:
    """The chunk form of the rule, where `count` tokens exist."""
    exists = lax.broadcasted_iota(jnp.int32, (plan.chunk_size, 1), 0) < count
    return chunk(state, whole_chunk(plan.rule, varying, fixed, exists))


def _load_tokens(refs: Refs, tokens: Any) -> Any:
    return jax.tree.map(lambda ref: ref[tokens].astype(jnp.float32), refs)


def _store_tokens(refs: Refs, values: Any, tokens: Any) -> None:
    def write(ref: Any, value: Array) -> None:
        ref[tokens] = value.astype(ref.dtype)

    jax.tree.map(write, refs, values)
