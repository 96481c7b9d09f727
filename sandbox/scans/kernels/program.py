"""The kernel of any rule: a forward kernel, and a backward kernel that differentiates the rule chunk by chunk.

An `Accelerator` defines how the chunks of a head run in order: see `tpu.py` and `gpu.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.typing import DTypeLike
from jaxtyping import Array

from sandbox.scans.kernels.chunk import (
    BackwardRefs,
    ForwardRefs,
    Index,
    Refs,
    Tokens,
    backward_chunk,
    forward_chunk,
    load,
    store,
)
from sandbox.scans.kernels.cost import estimate_cost
from sandbox.scans.kernels.memory import Memory, crop, pad
from sandbox.scans.kernels.plan import Leaf, Plan
from sandbox.scans.layout import cast, padding_of, split_fixed
from sandbox.scans.rule import Inputs, Outputs, State

Body = Callable[[Index, Index, Any], Any]
"""`(chunk, index, carried) -> carried`: processes chunk `chunk`, stored at `index` in the program's memory."""


@dataclass(frozen=True)
class Accelerator:
    """What differs between kernels for TPUs and for GPUs."""

    chunks_in_grid: bool
    """Whether the chunks of a head are programs of the grid, run in order, or iterations of one program's loop."""

    over_chunks: Callable[..., None]
    """`(body, begin, leaves, refs, num_chunks=, backwards=)`: carries `begin()` through all chunks into `refs`."""

    scratch: Callable[[tuple[int, ...]], Any] | None
    """Allocates on-chip scratch memory of a shape, per program; None means device memory instead."""

    barrier: Callable[[], None]
    """Makes the writes of one thread of a program visible to its other threads."""

    compiler_params: Any
    interpret: Any


def run_kernels(
    accelerator: Accelerator, plan: Plan, state: State, inputs: Inputs, *, dtype: DTypeLike
) -> tuple[Outputs, State]:
    """Runs the forward kernel, and the backward one for gradients; leaves as `layout` describes them."""

    @jax.custom_vjp
    def run(state: State, varying: Inputs, fixed: Inputs) -> tuple[Outputs, State]:
        outputs, final_state, _ = _forward(accelerator, plan, state, varying, fixed, keeps_states=False)
        return outputs, final_state

    def run_forward(state: State, varying: Inputs, fixed: Inputs) -> tuple[tuple[Outputs, State], Any]:
        outputs, final_state, starts = _forward(accelerator, plan, state, varying, fixed, keeps_states=True)
        return (outputs, final_state), (starts, varying, fixed)

    def run_backward(kept: Any, gradients: tuple[Outputs, State]) -> tuple[State, Inputs, Inputs]:
        starts, varying, fixed = kept
        d_state, d_varying, d_fixed = _backward(accelerator, plan, starts, varying, fixed, *gradients)
        return (
            jax.tree.map(partial(_sum_over_tiles, plan), plan.state, d_state),
            jax.tree.map(partial(_sum_over_sharers, plan), plan.varying, d_varying, varying),
            jax.tree.map(partial(_sum_over_sharers, plan), plan.fixed, d_fixed, fixed),
        )

    run.defvjp(run_forward, run_backward)

    time_axis = 2 if accelerator.chunks_in_grid else 1
    varying, fixed = split_fixed(inputs)
    if plan.rule.chunk is None:
        varying = cast(varying, jnp.float32)
    fill = plan.num_chunks * plan.chunk_size - plan.tokens

    def matrices(leaf: Leaf, array: Array) -> Array:
        return pad(array.astype(jnp.float32), leaf, plan.num_tiles, at_least=2)

    def over_time(leaf: Leaf, array: Array, number: float) -> Array:
        array = jnp.pad(array, [(0, 0), (0, fill), *[(0, 0)] * (array.ndim - 2)], constant_values=number)
        return jnp.moveaxis(pad(array, leaf, plan.num_tiles, at_least=1), 1, time_axis)

    def back_over_time(leaf: Leaf, array: Array) -> Array:
        return crop(jnp.moveaxis(array, time_axis, 1)[:, : plan.tokens], leaf, leading=3)

    outputs, final_state = run(
        jax.tree.map(matrices, plan.state, state),
        jax.tree.map(over_time, plan.varying, varying, padding_of(plan.rule, varying)),
        jax.tree.map(lambda leaf, array: matrices(leaf, array[:, 0]), plan.fixed, fixed),
    )
    return (
        cast(jax.tree.map(back_over_time, plan.outputs, outputs), dtype),
        jax.tree.map(lambda leaf, array: crop(array, leaf, leading=2), plan.state, final_state),
    )


def _forward(
    accelerator: Accelerator, plan: Plan, state: State, varying: Inputs, fixed: Inputs, *, keeps_states: bool
) -> tuple[Outputs, State, State | None]:
    """The outputs, the final state, and with `keeps_states` the state at the start of every chunk."""

    def kernel(*arguments: Refs) -> None:
        refs = ForwardRefs(*arguments)
        fixed = load(plan.fixed, refs.fixed)

        def begin() -> State:
            return load(plan.state, refs.state)

        def body(chunk: Index, index: Index, state: State) -> State:
            if keeps_states:
                store(refs.starts, state, index)
            return forward_chunk(plan, refs, _tokens(plan, chunk, index), state, fixed)

        accelerator.over_chunks(
            body, begin, plan.state, refs.final_state, num_chunks=plan.num_chunks, backwards=False
        )

    memory = Memory(plan, chunks_in_grid=accelerator.chunks_in_grid)
    outputs, final_state, starts = _call(
        accelerator,
        plan,
        kernel,
        memory,
        (state, varying, fixed),
        reads=(
            jax.tree.map(memory.per_head, plan.state),
            jax.tree.map(memory.per_token, plan.varying),
            jax.tree.map(memory.per_head, plan.fixed),
        ),
        writes=(
            jax.tree.map(lambda leaf: memory.per_token(leaf, written=True, dtype=plan.output_dtype), plan.outputs),
            jax.tree.map(lambda leaf: memory.per_head(leaf, written=True), plan.state),
            jax.tree.map(memory.per_chunk, plan.state) if keeps_states else None,
        ),
        name=f"{plan.rule.name}_forward",
        cost_estimate=estimate_cost(plan, varying, backward=False),
    )
    return outputs, jax.tree.map(partial(_of_one_tile, plan), plan.state, final_state), starts


def _backward(
    accelerator: Accelerator,
    plan: Plan,
    starts: State,
    varying: Inputs,
    fixed: Inputs,
    d_outputs: Outputs,
    d_final_state: State,
) -> tuple[State, Inputs, Inputs]:
    """The gradients, not yet summed over tiles and sequences."""
    memory = Memory(plan, chunks_in_grid=accelerator.chunks_in_grid, backwards=True)

    def written_inputs(leaf: Leaf, array: Array) -> Any:
        return memory.per_token(leaf, written=True, dtype=_gradient_dtype(plan, leaf, array))

    def written_matrices(leaves: Any) -> Any:
        return jax.tree.map(lambda leaf: memory.per_head(leaf, written=True), leaves)

    d_state, d_varying, d_fixed, *_ = _call(
        accelerator,
        plan,
        partial(_backward_kernel, accelerator, plan),
        memory,
        (starts, varying, fixed, d_outputs, d_final_state),
        reads=(
            jax.tree.map(memory.per_chunk, plan.state),
            jax.tree.map(memory.per_token, plan.varying),
            jax.tree.map(memory.per_head, plan.fixed),
            jax.tree.map(memory.per_token, plan.outputs),
            jax.tree.map(memory.per_head, plan.state),
        ),
        writes=(
            written_matrices(plan.state),
            jax.tree.map(written_inputs, plan.varying, varying),
            written_matrices(plan.fixed),
        ),
        scratch=(jax.tree.map(memory.of_one_chunk, plan.state if plan.rule.chunk is None else None),),
        name=f"{plan.rule.name}_backward",
        cost_estimate=estimate_cost(plan, varying, backward=True),
    )
    return d_state, d_varying, d_fixed


def _backward_kernel(accelerator: Accelerator, plan: Plan, *arguments: Refs) -> None:
    """One program of the backward kernel: the chunks of a head from the last one to the first."""
    refs = BackwardRefs(*arguments)
    fixed = load(plan.fixed, refs.fixed)
    tile = pl.program_id(2)

    def begin() -> tuple[State, Inputs]:
        gradient = load(plan.state, refs.d_final_state)
        d_state = jax.tree.map(partial(_for_one_tile, plan, tile), plan.state, gradient)
        return d_state, jax.tree.map(jnp.zeros_like, fixed)

    def body(chunk: Index, index: Index, carried: tuple[State, Inputs]) -> tuple[State, Inputs]:
        d_state, d_fixed = carried
        state = load(plan.state, refs.starts, index)
        tokens = _tokens(plan, chunk, index)
        d_state, d_fixed_here = backward_chunk(plan, refs, tokens, state, fixed, d_state, accelerator.barrier)
        return d_state, jax.tree.map(jnp.add, d_fixed, d_fixed_here)

    leaves, carried = (plan.state, plan.fixed), (refs.d_state, refs.d_fixed)
    accelerator.over_chunks(body, begin, leaves, carried, num_chunks=plan.num_chunks, backwards=True)


def _call(
    accelerator: Accelerator,
    plan: Plan,
    kernel: Callable[..., None],
    memory: Memory,
    arrays: tuple[Any, ...],
    *,
    reads: tuple[Any, ...],
    writes: tuple[Any, ...],
    scratch: tuple[Any, ...] = (),
    name: str,
    cost_estimate: pl.CostEstimate,
) -> tuple[Any, ...]:
    """Runs a kernel, whose arguments are what it reads, writes and scratch memory, and returns what it writes."""
    scratch_shapes: tuple[Any, ...] = ()
    if (allocate := accelerator.scratch) is not None:
        scratch_shapes = jax.tree.map(lambda block: allocate(block.shape), scratch)
    else:
        writes = (*writes, *scratch)
    call = pl.pallas_call(
        kernel,
        grid=memory.grid,
        in_specs=jax.tree.map(lambda block: block.spec, reads),
        out_specs=jax.tree.map(lambda block: block.spec, writes),
        out_shape=jax.tree.map(lambda block: block.array, writes),
        scratch_shapes=scratch_shapes,
        compiler_params=accelerator.compiler_params,
        cost_estimate=cost_estimate,
        interpret=accelerator.interpret,
        name=name,
    )
    with jax.default_matmul_precision(plan.precision):
        return call(*arrays)


def _tokens(plan: Plan, chunk: Index, index: Index) -> Tokens:
    """The tokens of chunk `chunk`, stored at `index`; the last chunk may have fewer than the others."""
    return Tokens(index * plan.chunk_size, jnp.minimum(plan.chunk_size, plan.tokens - chunk * plan.chunk_size))


def _of_one_tile(plan: Plan, leaf: Leaf, array: Array) -> Array:
    """The array, or that of the first tile if every tile has written the same."""
    return array[0] if plan.repeats(leaf) else array


def _for_one_tile(plan: Plan, tile: Index, leaf: Leaf, gradient: Array) -> Array:
    """The transpose of `_of_one_tile`: the gradient belongs to the first tile alone."""
    return jnp.where(tile == 0, gradient, 0.0) if plan.repeats(leaf) else gradient


def _sum_over_tiles(plan: Plan, leaf: Leaf, gradient: Array) -> Array:
    return jnp.sum(gradient, axis=0) if plan.repeats(leaf) else gradient


def _sum_over_sharers(plan: Plan, leaf: Leaf, gradient: Array, array: Array) -> Array:
    gradient = _sum_over_tiles(plan, leaf, gradient)
    return (jnp.sum(gradient, axis=0, keepdims=True) if leaf.shared else gradient).astype(array.dtype)


def _gradient_dtype(plan: Plan, leaf: Leaf, array: Array) -> DTypeLike:
    """The precision in which a kernel writes a gradient: float32 if it is summed afterwards."""
    return jnp.float32 if leaf.shared or plan.repeats(leaf) else array.dtype
