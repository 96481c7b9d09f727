"""Mosaic GPU kernels, for Hopper and newer, of the rules that treat every channel by itself.

A program holds the states of 128 channels of one sequence, one to a thread, and loops over time. Where gradients
are needed it keeps the state at the start of every block of tokens; the backward pass computes the other states
of a block again, and differentiates the step itself, token by token, inside the kernel.

Every array in memory is `[B, rows, E]`: E are the channels of all heads, B is one for what all sequences share,
and rows are tokens, blocks, or one for states and for what is fixed over time.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.typing import DTypeLike
from jaxtyping import Array, Int

from sandbox.scans.drivers.layout import compute_dtype, join, num_tokens, split_fixed
from sandbox.scans.drivers.mosaic_gpu_primitives import lowerable
from sandbox.scans.rules.rule import Inputs, Outputs, Rule, State

LANES = 128
"""Channels of a program: the threads of one warpgroup."""

BLOCK = 32
"""Tokens between two kept states. All states of a block are in shared memory, 16 KiB per array of the state."""

Refs = Any
"""A tree of references to memory."""

Index = int | Int[Array, ""]

Step = Callable[[State, Inputs, Inputs], tuple[State, Outputs]]
"""`(state, inputs that vary over time, inputs that do not) -> (new state, outputs)`, for one token."""


def why_not_mosaic_gpu(rule: Rule, *, rows: int) -> str | None:
    """Why these kernels cannot run `rule` with states of `rows` rows; None where they can."""
    if rows > 1:
        return f"a Mosaic GPU kernel keeps one row for every channel, and the state has {rows}"
    examples = [
        jax.eval_shape(lambda draw=draw: draw(jax.random.key(0), 2, 2, 2)) for draw in rule.examples.values()
    ]
    inputs = [item for example in examples for item in example._asdict().items()]
    by_channel = all(leaf is None or (name in rule.column_inputs and leaf.ndim == 2) for name, leaf in inputs)
    if rule.chunk is not None or not by_channel or not jax.tree.all(rule.column_states):
        return "a Mosaic GPU kernel treats every channel by itself, and the rule does not"
    return None


def run_pallas_mosaic_gpu(
    rule: Rule,
    state: State,
    inputs: Inputs,
    *,
    dtype: DTypeLike,
    chunk_size: int | None = None,
    interpret: bool = False,
) -> tuple[Outputs, State]:
    """Runs `rule.step` over time inside a kernel; leaves as `layout` describes them. Outputs are in `dtype`.

    `chunk_size` is the number of tokens between two kept states, at most `BLOCK`.

    Raises:
        NotImplementedError: the rule mixes channels or keeps matrices, or an input is float64.
    """
    rows = max(leaf[0, 0].size // leaf.shape[-1] for leaf in jax.tree.leaves(state))
    if (reason := why_not_mosaic_gpu(rule, rows=rows)) is not None:
        raise NotImplementedError(f"{rule.name}: {reason}")
    if compute_dtype(inputs) != jnp.float32:
        raise NotImplementedError(f"kernels compute in float32, and an input of {rule.name} is float64")
    heads, width = jax.tree.leaves(state)[0].shape[1:]
    channels, block = heads * width, min(chunk_size or BLOCK, BLOCK)

    def step(state: State, varying: Inputs, fixed: Inputs) -> tuple[State, Outputs]:
        return rule.step(state, join(varying, fixed))

    def to_memory(leaf: Array) -> Array:
        """`[B, rows, H, V]` to `[B, rows, E]`, with E filled up to a whole number of programs."""
        return jnp.pad(leaf.reshape(*leaf.shape[:2], channels), [(0, 0), (0, 0), (0, -channels % LANES)])

    def from_memory(leaf: Array) -> Array:
        return leaf[..., :channels].reshape(*leaf.shape[:2], heads, width)

    @jax.custom_vjp
    def run(state: State, varying: Inputs, fixed: Inputs) -> tuple[Outputs, State]:
        outputs, final_state, _ = _forward(step, state, varying, fixed, None, dtype, interpret)
        return outputs, final_state

    def run_forward(state: State, varying: Inputs, fixed: Inputs) -> tuple[tuple[Outputs, State], Any]:
        outputs, final_state, starts = _forward(step, state, varying, fixed, block, dtype, interpret)
        return (outputs, final_state), (starts, varying, fixed)

    def run_backward(residuals: Any, cotangents: tuple[Outputs, State]) -> tuple[State, Inputs, Inputs]:
        return _backward(step, residuals, cotangents, block, interpret)

    run.defvjp(run_forward, run_backward)
    one_row = jax.tree.map(lambda leaf: leaf[:, None], state)
    outputs, final_state = run(*jax.tree.map(to_memory, (one_row, *split_fixed(inputs))))
    return jax.tree.map(from_memory, outputs), jax.tree.map(lambda leaf: from_memory(leaf)[:, 0], final_state)


def _forward(
    step: Step,
    state: State,
    varying: Inputs,
    fixed: Inputs,
    block: int | None,
    dtype: DTypeLike,
    interpret: bool,
) -> tuple[Outputs, State, State | None]:
    """Outputs, final state, and the states at the starts of the blocks, or None without blocks."""
    batch, _, channels = jax.tree.leaves(state)[0].shape
    tokens = num_tokens(varying)
    size = tokens if block is None else block
    num_blocks = -(-tokens // size)

    def forward_kernel(operands: Refs, results: Refs, _: None) -> None:
        state, varying, fixed = operands
        outputs, final_state, starts = results
        fixed_values = _load(fixed)

        def take_step(t: Index, state: State) -> State:
            state, outputs_t = lowerable(step)(state, _load(varying, t), fixed_values)
            _store(outputs, outputs_t, t)
            return state

        def take_block(n: Index, state: State) -> State:
            if starts is not None:
                _store(starts, state, n)
            return lax.fori_loop(n * size, jnp.minimum((n + 1) * size, tokens), take_step, state)

        _store(final_state, lax.fori_loop(0, num_blocks, take_block, _load(state)))

    of_one_program = jax.tree.map(lambda _: jax.ShapeDtypeStruct((LANES,), jnp.float32), (state, varying, fixed))
    outputs = jax.eval_shape(step, *of_one_program)[1]
    of_every_token = jax.tree.map(lambda _: jax.ShapeDtypeStruct((batch, tokens, channels), dtype), outputs)
    of_every_block = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((batch, num_blocks, channels), leaf.dtype), state
    )
    return _launch(
        forward_kernel,
        (state, varying, fixed),
        (of_every_token, jax.tree.map(_like, state), None if block is None else of_every_block),
        None,
        (batch, channels // LANES),
        interpret,
    )


def _backward(
    step: Step,
    residuals: tuple[State, Inputs, Inputs],
    cotangents: tuple[Outputs, State],
    block: int,
    interpret: bool,
) -> tuple[State, Inputs, Inputs]:
    """The gradients of the state before the first token, and of what varies and what is fixed over time."""
    starts, varying, fixed = residuals
    batch, num_blocks, channels = jax.tree.leaves(starts)[0].shape
    tokens = num_tokens(varying)

    def differentiate(
        state: State, varying: Inputs, fixed: Inputs, d_results: Any
    ) -> tuple[State, Inputs, Inputs]:
        return jax.vjp(step, state, varying, fixed)[1](d_results)

    def backward_kernel(operands: Refs, results: Refs, kept: Refs) -> None:
        (starts, varying, fixed), (d_outputs, d_final_state) = operands
        d_state, d_varying, d_fixed = results
        fixed_values = _load(fixed)

        def step_back_through_block(passed: Index, gradients: tuple[State, Inputs]) -> tuple[State, Inputs]:
            n = num_blocks - 1 - passed
            first = n * block
            count = jnp.minimum(block, tokens - first)

            def keep_state(i: Index, state: State) -> State:
                _store(kept, state, i)
                state, _ = lowerable(step)(state, _load(varying, first + i), fixed_values)
                return state

            def step_back(passed: Index, gradients: tuple[State, Inputs]) -> tuple[State, Inputs]:
                i = count - 1 - passed
                d_state, d_fixed = gradients
                d_state, d_token, d_fixed_t = lowerable(differentiate)(
                    _load(kept, i),
                    _load(varying, first + i),
                    fixed_values,
                    (d_state, _load(d_outputs, first + i)),
                )
                _store(d_varying, d_token, first + i)
                return d_state, jax.tree.map(jnp.add, d_fixed, d_fixed_t)

            lax.fori_loop(0, count, keep_state, _load(starts, n))
            return lax.fori_loop(0, count, step_back, gradients)

        nothing = jax.tree.map(jnp.zeros_like, fixed_values)
        gradients = lax.fori_loop(0, num_blocks, step_back_through_block, (_load(d_final_state), nothing))
        _store((d_state, d_fixed), gradients)

    def of_every_sequence(leaf: Array) -> jax.ShapeDtypeStruct:
        is_shared = leaf.shape[0] < batch
        return jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), jnp.float32 if is_shared else leaf.dtype)

    def of_all_sequences(gradient: Array, leaf: Array) -> Array:
        is_shared = leaf.shape[0] < batch
        return jnp.sum(gradient, axis=0, keepdims=True).astype(leaf.dtype) if is_shared else gradient

    d_state, d_varying, d_fixed = _launch(
        backward_kernel,
        (residuals, cotangents),
        (jax.tree.map(_like, cotangents[1]), *jax.tree.map(of_every_sequence, (varying, fixed))),
        jax.tree.map(lambda _: jax.ShapeDtypeStruct((block, LANES), jnp.float32), starts),
        (batch, channels // LANES),
        interpret,
    )
    return d_state, *jax.tree.map(of_all_sequences, (d_varying, d_fixed), (varying, fixed))


def _launch(
    kernel: Callable[[Refs, Refs, Refs], None],
    operands: Any,
    results: Any,
    shared_memory: Any,
    grid: tuple[int, int],
    interpret: bool,
) -> Any:
    """Runs `kernel(operands, results, shared memory)`, trees of references, for every sequence and 128 channels.

    `results` and `shared_memory` are trees of shapes with dtypes.
    """
    from jax.experimental.pallas import mosaic_gpu as plgpu  # jax 0.10 needs absl-py for it, which not all have

    interpreter = None
    if interpret and hasattr(plgpu, "InterpretGPUParams"):
        interpreter = plgpu.InterpretGPUParams()
    elif interpret:  # jax 0.10 has it, but does not export it
        from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

        interpreter = InterpretGPUParams()
    leaves, structure = jax.tree.flatten((operands, results, shared_memory))
    num_operands, num_results = len(jax.tree.leaves(operands)), len(jax.tree.leaves(results))
    run = plgpu.kernel(
        lambda *refs: kernel(*jax.tree.unflatten(structure, refs)),
        out_type=leaves[num_operands : num_operands + num_results],
        scratch_types=[plgpu.SMEM(leaf.shape, leaf.dtype) for leaf in leaves[num_operands + num_results :]],
        grid=grid,
        grid_names=("sequence", "tile"),
        kernel_name=kernel.__name__,
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
        interpret=interpreter,
    )
    return jax.tree.unflatten(jax.tree.structure(results), run(*leaves[:num_operands]))


def _cell(ref: Any, row: Index) -> Any:
    """Where the 128 numbers of this program are in a row of memory; shared memory is all its own."""
    if len(ref.shape) == 2:
        return row
    sequence = 0 if ref.shape[0] == 1 else lax.axis_index("sequence")
    return sequence, row, pl.ds(lax.axis_index("tile") * LANES, LANES)


def _load(refs: Refs, row: Index = 0) -> Any:
    return jax.tree.map(lambda ref: ref[_cell(ref, row)].astype(jnp.float32), refs)


def _store(refs: Refs, values: Any, row: Index = 0) -> None:
    def write(ref: Any, value: Array) -> None:
        ref[_cell(ref, row)] = value.astype(ref.dtype)

    jax.tree.map(write, refs, values)


def _like(leaf: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
