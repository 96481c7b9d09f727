"""The operations of a program as XLA counts them, to hold our own count to."""

from collections.abc import Callable
from typing import Any

import jax


def count_flops_by_xla(function: Callable[..., Any], *arguments: Any) -> float:
    """Floating-point operations of `function(*arguments)`, with one iteration of each loop.

    The program is counted as written and not as compiled: a compiler may compute something several times to save
    memory, and what it repeats differs between platforms. Exponentials and the like are not counted.
    """
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        return float(jax.jit(function).lower(*shapes).cost_analysis().get("flops", 0.0))
