"""Arithmetic of a program, counted from the program itself."""

from collections.abc import Callable
from typing import Any

import jax


def count_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Floating-point operations of `function(*arguments)` as XLA counts them; a loop counts as one turn of it.

    The program is counted as written and not as compiled: a compiler may compute a number several times to save
    memory, and what it does so differs between platforms. Exponentials and the like are not counted.

    Raises:
        RuntimeError: XLA's CPU backend, which does the counting, is switched off.
    """
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        analysis = jax.jit(function).lower(*_shapes(arguments)).cost_analysis()
    assert analysis is not None, "XLA gave no cost analysis"
    return float(analysis["flops"])


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
