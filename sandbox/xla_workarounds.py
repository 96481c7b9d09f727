"""Workarounds for wrong code by XLA's CPU compiler: one bug, and two cures for two situations.

From jaxlib 0.10.2 on, XLA may fuse a matrix product with its surroundings for the library YNNPACK. Reported in
jax-ml/jax: wrong values of a summed matrix-vector product (issue 39103: in 0.10.2, no longer in 0.12.0), and
crashes (39257 and 40412: in 0.10.2 and 0.11.0). No report is known of the case met here, in 0.10.2 and 0.12.0: a
product with a broadcast, such as an empty state, reads uninitialised memory. `tests/scans/test_empty_state.py`
shows whether a newer version still needs the cures:

- `disable_ynn_fusions` sets the flag that turns the fusions off. It has to come before JAX starts. Training steps
  are as fast or faster.
- `not_a_broadcast` keeps scans from an empty state right if the flag came too late.
"""

import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jax import Array

YNN_FUSIONS = "--xla_cpu_experimental_ynn_fusion_type"


def disable_ynn_fusions() -> None:
    """Adds the flag to `XLA_FLAGS`, unless it is there; warns if JAX has read the variable already.

    Does not import jax, so that a command that only reads results stays fast.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if YNN_FUSIONS in flags:
        return
    if jax_has_started():
        warnings.warn(
            f"sandbox was imported after JAX had started, too late to set XLA_FLAGS={YNN_FUSIONS}= : "
            "matrix products on a CPU may be wrong. Import sandbox first, or set the variable.",
            stacklevel=3,
        )
    os.environ["XLA_FLAGS"] = f"{flags} {YNN_FUSIONS}=".strip()


def jax_has_started() -> bool:
    """Whether a backend exists: the first one reads the flags and the number of devices."""
    if "jax" not in sys.modules:
        return False
    from jax._src import xla_bridge  # jax.extend.backend has no such question

    return xla_bridge.backends_are_initialized()


def not_a_broadcast(state: "Array") -> "Array":
    """The same state, in a form that XLA cannot see to be constant.

    A scan over four chunks or more keeps the state in its own buffer; one over two or three is unrolled, and then
    the compiler sees that the first state is a broadcast zero.
    """
    from jax import lax

    return state + 0.0 * lax.broadcasted_iota(state.dtype, state.shape, state.ndim - 1)
