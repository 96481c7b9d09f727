"""Kernels for GPUs, by Pallas' Triton backend: one program loops over the chunks of a head.

The grid is `(B, H, tiles of columns)`. The loop carries the state, and in the backward pass its gradient and those
of fixed inputs. From jax 0.11 on, lowering a kernel for this backend gives a DeprecationWarning, but no other
backend covers jax 0.10 to 0.12 and GPUs from Ampere on. Only this file depends on it.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.pallas import triton as pltriton
from jax.typing import DTypeLike

from sandbox.scans.kernels.chunk import Refs, store
from sandbox.scans.kernels.plan import ChipSizes, Plan, plan_kernel
from sandbox.scans.kernels.program import Accelerator, Body, run_kernels
from sandbox.scans.layout import matmul_precision, next_power_of_two
from sandbox.scans.rule import Inputs, Outputs, Rule, State

GPU = ChipSizes(
    name="GPU",
    pad_feature=lambda size: max(16, next_power_of_two(size)),
    pad_columns=lambda size: max(16, next_power_of_two(size)),
    widest_tile=32,
    preferred_state=64 * 32,
    largest_state=128 * 128,
    steps_along_an_axis=False,
    shortest_side=16,
    reused_operands=99 * 1024,
    longest_chunk=16,
    longest_loop=64,
    kept_states=64 * 64 * 64,
)
"""Triton's arrays have powers of two as sizes, and matrix products sides of at least 16. Products read shared
memory, of which a program has 99 KiB on every GPU since Ampere. On an H200 (`benchmarks/kernel_sizes.py`) chunks
of 16 and tiles of 32 are the fastest, except in bfloat16 with a decay per head and for mLSTM, where chunks of 32
are up to 1.4 times as fast. Chunks of 32 in float32, and of 64 in any precision, spill registers: 64 takes up to
50 times as long."""

FLOAT32_PRODUCTS = "TF32_TF32_F32_X3"
"""One float32 product as three on matrix units, which "highest" would not use."""

BFLOAT16_PRODUCTS = "BF16_BF16_F32"
"""What "default" means on a TPU; on a GPU it means TF32. On an H200 this makes forward passes in bfloat16 1.2 to
1.6 times as fast, with an error of 3e-3, of which rounding the results alone makes 1e-3."""


def run_pallas_gpu(
    rule: Rule,
    state: State,
    inputs: Inputs,
    *,
    dtype: DTypeLike,
    chunk_size: int | None = None,
    interpret: bool = False,
    chip: ChipSizes = GPU,
    num_warps: int | None = None,
    products: str | None = None,
) -> tuple[Outputs, State]:
    """Runs `rule` by kernels for GPUs; leaves as `layout` describes them, outputs in `dtype`.

    The last three arguments are for benchmarks: the sizes of the chip, warps per program, and jax's name of the
    default precision of products. None chooses the last two by the state and the inputs.

    Raises:
        NotImplementedError: the state is too large, or an input is float64.
    """
    precision = matmul_precision(inputs) if interpret else products or _products(inputs)
    plan = plan_kernel(chip, rule, state, inputs, dtype=dtype, chunk_size=chunk_size, precision=precision)
    accelerator = Accelerator(
        chunks_in_grid=False,
        over_chunks=_over_chunks,
        scratch=None,
        barrier=(lambda: None) if interpret else pltriton.debug_barrier,
        compiler_params=pltriton.CompilerParams(num_warps=num_warps or _num_warps(plan), num_stages=1),
        interpret=interpret,
    )
    return run_kernels(accelerator, plan, state, inputs, dtype=dtype)


def _over_chunks(
    body: Body, begin: Callable[[], Any], leaves: Any, carried: Refs, *, num_chunks: int, backwards: bool
) -> None:
    del leaves

    def process(iteration: Any, values: Any) -> Any:
        chunk = num_chunks - 1 - iteration if backwards else iteration
        return body(chunk, chunk, values)

    store(carried, lax.fori_loop(0, num_chunks, process, begin()))


def _products(inputs: Inputs) -> str:
    precision = matmul_precision(inputs)
    if precision == "highest":
        return FLOAT32_PRODUCTS
    has_float16 = any(leaf.dtype == jnp.float16 for leaf in jax.tree.leaves(inputs))
    return precision if has_float16 else BFLOAT16_PRODUCTS  # bfloat16 would lose digits of float16


def _num_warps(plan: Plan) -> int:
    """Number of warps of 32 threads per state: eight floats per thread, at most eight warps."""
    floats = max(math.prod(leaf.shape) for leaf in jax.tree.leaves(plan.state))
    return min(8, max(1, floats // 256))
