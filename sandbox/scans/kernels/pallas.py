"""Runs the kernels of this platform, or says why they cannot run a rule.

Imports Pallas, which takes as long as flax, where there is a chip for it.
"""

from typing import Any

from jax.typing import DTypeLike

from sandbox.scans.kernels.plan import ChipSizes, why_not
from sandbox.scans.rule import Inputs, Outputs, Rule, State
from sandbox.target import kernels_are_interpreted, target_platform


def why_not_pallas(rule: Rule, *, rows: int, columns: int, dtype: DTypeLike) -> str | None:
    """Why no kernel of this platform can run `rule` with states of `rows` by `columns`; None if one can.

    `dtype` is the precision of the arithmetic.
    """
    platform = target_platform()
    if platform not in ("tpu", "gpu"):
        return f"kernels need a GPU or a TPU, and this is {platform}"
    chip, _ = _kernels_for(platform)
    return why_not(chip, rule, rows=rows, columns=columns, dtype=dtype)


def run_pallas(
    rule: Rule, state: State, inputs: Inputs, *, dtype: DTypeLike, chunk_size: int | None = None
) -> tuple[Outputs, State]:
    """Runs the kernel of this platform; see `run_pallas_tpu` and `run_pallas_gpu`."""
    _, driver = _kernels_for(target_platform())
    return driver(rule, state, inputs, dtype=dtype, chunk_size=chunk_size, interpret=kernels_are_interpreted())


def _kernels_for(platform: str) -> tuple[ChipSizes, Any]:
    """The sizes of this platform's chip, and the driver that runs its kernels."""
    if platform == "tpu":
        from sandbox.scans.kernels.tpu import TPU, run_pallas_tpu

        return TPU, run_pallas_tpu
    from sandbox.scans.kernels.gpu import GPU, run_pallas_gpu

    return GPU, run_pallas_gpu
