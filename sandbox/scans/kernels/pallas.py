"""The kernels of this platform, and why none of them can run a rule."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from sandbox.scans.kernels.gpu import GPU, run_pallas_gpu
from sandbox.scans.kernels.plan import why_not
from sandbox.scans.kernels.tpu import TPU, run_pallas_tpu
from sandbox.scans.rule import Inputs, Outputs, Rule, State
from sandbox.target import kernels_are_interpreted, target_platform


def why_not_pallas(rule: Rule, *, rows: int, columns: int, dtype: DTypeLike) -> str | None:
    """Why no kernel can run `rule` with states of `rows` by `columns` in `dtype` here; None where one can."""
    platform = target_platform()
    if platform not in ("tpu", "gpu"):
        return f"kernels need a GPU or a TPU, and this is {platform}"
    if dtype != jnp.float32:
        return f"kernels compute in float32, and these inputs need {jnp.dtype(dtype)}"
    return why_not(TPU if platform == "tpu" else GPU, rule, rows=rows, columns=columns)


def run_pallas(
    rule: Rule, state: State, inputs: Inputs, *, dtype: DTypeLike, chunk_size: int | None = None
) -> tuple[Outputs, State]:
    """Runs the kernel of this platform; see `kernels.tpu` and `kernels.gpu`."""
    driver = run_pallas_tpu if target_platform() == "tpu" else run_pallas_gpu
    return driver(rule, state, inputs, dtype=dtype, chunk_size=chunk_size, interpret=kernels_are_interpreted())
