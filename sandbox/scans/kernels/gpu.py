"""Kernels for GPUs, by Pallas' Triton backend: one program loops over the chunks of a head.

The grid is `(B, H, tiles of columns)`. The state, and in the backward pass its gradient and those of what is fixed
over time, are values of the loop. jax 0.11 deprecates this backend, the only one that covers jax 0.10 to 0.12 and
GPUs from Ampere on: all that depends on it is here.
"""

import dataclasses
import math
import warnings
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
from sandbox.scans.layout import next_power_of_two
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
"""Triton's arrays have powers of two as sizes, and its products sides of at least 16. Products read shared memory,
of which a program has 99 KiB on every GPU since Ampere. On an H200 (`benchmarks/kernel_sizes.py`) chunks of 16 and
tiles of 32 are the fastest, but for decay per head and mLSTM in bfloat16, where chunks of 32 are up to 1.4 times
as fast; in float32 those spill registers. Chunks of 64 do in any precision, and take up to 50 times as long."""

FLOAT32_PRODUCTS = "TF32_TF32_F32_X3"
"""Three products of matrix units for one in float32; "highest" would do without them."""

BFLOAT16_PRODUCTS = "BF16_BF16_F32"
"""What "default" means on a TPU; here that would be TF32. On an H200 forward passes of bfloat16 are 1.2 to 1.6
times as fast, and their error is 3e-3, as in other people's kernels; rounding the results alone makes 1e-3."""


def run_pallas_gpu(
    rule: Rule,
    state: State,
    inputs: Inputs,
    *,
    dtype: DTypeLike,
    chunk_size: int | None = None,
    interpret: bool = False,
) -> tuple[Outputs, State]:
    """Runs `rule` by kernels for GPUs; leaves as `layout` describes them, outputs in `dtype`.

    Raises:
        NotImplementedError: the state is too large, or an input is float64.
    """
    plan = plan_kernel(GPU, rule, state, inputs, dtype=dtype, chunk_size=chunk_size)
    if not interpret:
        plan = dataclasses.replace(plan, precision=_products(plan, inputs))
    accelerator = Accelerator(
        chunks_in_grid=False,
        over_chunks=_over_chunks,
        scratch=None,
        barrier=(lambda: None) if interpret else pltriton.debug_barrier,
        compiler_params=pltriton.CompilerParams(num_warps=_num_warps(plan), num_stages=1),
        interpret=interpret,
    )
    _silence_the_deprecation()
    return run_kernels(accelerator, plan, state, inputs, dtype=dtype)


def _over_chunks(
    body: Body, begin: Callable[[], Any], leaves: Any, carried: Refs, *, num_chunks: int, backwards: bool
) -> None:
    """A loop over the chunks, that holds what it carries in registers."""
    del leaves

    def pass_one(position: Any, values: Any) -> Any:
        chunk = num_chunks - 1 - position if backwards else position
        return body(chunk, chunk, values)

    store(carried, lax.fori_loop(0, num_chunks, pass_one, begin()))


def _products(plan: Plan, inputs: Inputs) -> str:
    """How matrices are multiplied where the rule leaves it open."""
    if plan.precision == "highest":
        return FLOAT32_PRODUCTS
    has_float16 = any(leaf.dtype == jnp.float16 for leaf in jax.tree.leaves(inputs))
    return plan.precision if has_float16 else BFLOAT16_PRODUCTS  # bfloat16 has fewer digits


def _num_warps(plan: Plan) -> int:
    """Warps of 32 threads that share a state: eight numbers each, in up to eight warps."""
    numbers = max(math.prod(leaf.shape) for leaf in jax.tree.leaves(plan.state))
    return min(8, max(1, numbers // 256))


def _silence_the_deprecation() -> None:
    """Keeps jax from warning when it lowers these kernels, which happens after this module has returned."""
    warnings.filterwarnings("ignore", "The Pallas Triton backend is deprecated", DeprecationWarning)
