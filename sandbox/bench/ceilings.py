"""The measured limits of this machine: operations in a large matrix product, memory traffic in a large copy."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

from sandbox.cost.timing import measure, spread

MATMUL_SIZES = (512, 1024, 2048, 4096, 8192, 16384)
"""Rows of the square matrices that are tried."""
COPIED_BYTES = 2**28
"""Size of the array that is copied, larger than any cache."""

LONG_ENOUGH = 0.1
"""Seconds of one product after which no larger one is tried."""


class Ceilings(NamedTuple):
    """The two rates that no program on this machine is expected to exceed."""

    flops_per_second: float
    bytes_per_second: float

    @property
    def columns(self) -> dict[str, float]:
        """Both rates under the names of their columns in a table."""
        return {f"ceiling_{name}": rate for name, rate in self._asdict().items()}


def measure_ceilings(
    dtype: DTypeLike,
    *,
    rounds: int = 7,
    matmul_sizes: Sequence[int] = MATMUL_SIZES,
    copied_bytes: int = COPIED_BYTES,
) -> Ceilings:
    """Measures both rates on the default device.

    The fastest of the matrix sizes (smallest first) and the median of the rounds count. float32 is multiplied in
    full float32, not in TF32.
    """
    return Ceilings(
        max(_matmul_rates(jnp.dtype(dtype), rounds, matmul_sizes)),
        _copy_rate(rounds, copied_bytes),
    )


def _matmul_rates(dtype: Any, rounds: int, sizes: Sequence[int]) -> list[float]:
    precision = "default" if dtype.itemsize <= 2 else "highest"
    product = jax.jit(lambda a: jnp.matmul(a, a, precision=precision))
    rates = []
    for size in sizes:
        a = jnp.full((size, size), size**-0.5, dtype)
        seconds = spread(measure({"matmul": functools.partial(product, a)}, rounds=rounds)["matmul"]).middle
        rates.append(2 * size**3 / seconds)
        if seconds > LONG_ENOUGH:
            break
    return rates


def _copy_rate(rounds: int, copied_bytes: int) -> float:
    """Bytes per second of negating an array in place: a new array each time would measure the allocator."""
    negate = jax.jit(jnp.negative, donate_argnums=0)
    array = jnp.ones(copied_bytes // 4, jnp.float32)

    def copy() -> Array:
        nonlocal array
        array = negate(array)
        return array

    return 2 * copied_bytes / spread(measure({"copy": copy}, rounds=rounds)["copy"]).middle
