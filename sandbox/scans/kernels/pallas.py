"""Runs the kernels of this platform, or says why they cannot run a rule."""

from jax.typing import DTypeLike

from sandbox.scans.kernels.gpu import GPU, run_pallas_gpu
from sandbox.scans.kernels.plan import why_not
from sandbox.scans.kernels.tpu import TPU, run_pallas_tpu
from sandbox.scans.rule import Inputs, Outputs, Rule, State
from sandbox.target import kernels_are_interpreted, target_platform


def why_not_pallas(rule: Rule, *, rows: int, columns: int, dtype: DTypeLike) -> str | None:
    """Why no kernel of this platform can run `rule` with states of `rows` by `columns`; None if one can.

    `dtype` is the precision of the arithmetic.
    """
    platform = target_platform()
    if platform not in ("tpu", "gpu"):
        return f"kernels need a GPU or a TPU, and this is {platform}"
    return why_not(TPU if platform == "tpu" else GPU, rule, rows=rows, columns=columns, dtype=dtype)


def run_pallas(
    rule: Rule, state: State, inputs: Inputs, *, dtype: DTypeLike, chunk_size: int | None = None
) -> tuple[Outputs, State]:
    """Runs the kernel of this platform; see `run_pallas_tpu` and `run_pallas_gpu`."""
    driver = run_pallas_tpu if target_platform() == "tpu" else run_pallas_gpu
    return driver(rule, state, inputs, dtype=dtype, chunk_size=chunk_size, interpret=kernels_are_interpreted())
