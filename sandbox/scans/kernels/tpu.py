"""Kernels for TPUs, by Pallas' Mosaic backend: the chunks of a head run in order, with the state on the chip.

The grid is `(B, H, tiles of columns, chunks)`. A block that does not depend on the chunk stays on the chip: the
one of the final state carries the state from chunk to chunk, and gradients of the state and of fixed inputs are
summed in their output blocks.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.typing import DTypeLike

from sandbox.scans.kernels.chunk import Refs, load, store
from sandbox.scans.kernels.plan import ChipSizes, plan_kernel
from sandbox.scans.kernels.program import Accelerator, Body, run_kernels
from sandbox.scans.rule import Inputs, Outputs, Rule, State

TPU = ChipSizes(
    name="TPU",
    pad_feature=lambda size: -(-size // 8) * 8,
    pad_columns=lambda size: -(-size // 128) * 128,
    widest_tile=512,
    preferred_state=64 * 512,
    largest_state=512 * 128,
    steps_along_an_axis=True,
    shortest_side=1,
    reused_operands=4 * 1024 * 1024,
    longest_chunk=64,
    longest_loop=64,
    kept_states=1024 * 1024,
)
"""Memory consists of tiles of 8 by 128 elements, so padding to these takes no extra memory."""


def run_pallas_tpu(
    rule: Rule,
    state: State,
    inputs: Inputs,
    *,
    dtype: DTypeLike,
    chunk_size: int | None = None,
    interpret: Any = False,
    chip: ChipSizes = TPU,
) -> tuple[Outputs, State]:
    """Runs `rule` by kernels for TPUs; leaves as `layout` describes them, outputs in `dtype`.

    `interpret` is an argument of `pallas_call`: a bool or `pltpu.InterpretParams`. Other `chip` sizes are for
    tests.

    Raises:
        NotImplementedError: the state is too large, or an input is float64.
    """
    plan = plan_kernel(chip, rule, state, inputs, dtype=dtype, chunk_size=chunk_size)
    accelerator = Accelerator(
        chunks_in_grid=True,
        over_chunks=_over_chunks,
        scratch=lambda shape: pltpu.VMEM(shape, jnp.float32),
        barrier=lambda: None,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "parallel", "arbitrary")
        ),
        interpret=interpret,
    )
    return run_kernels(accelerator, plan, state, inputs, dtype=dtype)


def _over_chunks(
    body: Body, begin: Callable[[], Any], leaves: Any, carried: Refs, *, num_chunks: int, backwards: bool
) -> None:
    iteration = pl.program_id(3)

    @pl.when(iteration == 0)
    def _() -> None:
        store(carried, begin())

    store(carried, body(num_chunks - 1 - iteration if backwards else iteration, 0, load(leaves, carried)))
