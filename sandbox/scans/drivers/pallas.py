"""Kernels, on the platforms that have them: which one runs a rule, and why none can."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from sandbox.scans.drivers.kernel_plan import why_not
from sandbox.scans.drivers.pallas_gpu import GPU, run_pallas_gpu, triton_is_available
from sandbox.scans.drivers.pallas_mosaic_gpu import run_pallas_mosaic_gpu, why_not_mosaic_gpu
from sandbox.scans.drivers.pallas_tpu import TPU, run_pallas_tpu
from sandbox.scans.rules.rule import Inputs, Outputs, Rule, State
from sandbox.scans.target import kernels_are_interpreted, target_platform


def why_not_pallas(rule: Rule, *, rows: int, columns: int, dtype: DTypeLike) -> str | None:
    """Why no kernel can run `rule` with states of `rows` by `columns` in `dtype` here; None where one can."""
    platform = target_platform()
    if platform in ("tpu", "gpu") and dtype != jnp.float32:
        return f"kernels compute in float32, and these inputs need {jnp.dtype(dtype)}"
    if platform == "tpu":
        return why_not(TPU, rule, rows=rows, columns=columns)
    if platform == "gpu":
        if triton_is_available():
            return why_not(GPU, rule, rows=rows, columns=columns)
        return why_not_mosaic_gpu(rule, rows=rows)
    return f"kernels need a GPU or a TPU, and this is {platform}"


def run_pallas(
    rule: Rule, state: State, inputs: Inputs, *, dtype: DTypeLike, chunk_size: int | None = None
) -> tuple[Outputs, State]:
    """Runs the kernel of this platform; see `pallas_tpu`, `pallas_gpu` and `pallas_mosaic_gpu`."""
    if target_platform() == "tpu":
        driver = run_pallas_tpu
    else:
        driver = run_pallas_gpu if triton_is_available() else run_pallas_mosaic_gpu
    return driver(rule, state, inputs, dtype=dtype, chunk_size=chunk_size, interpret=kernels_are_interpreted())
