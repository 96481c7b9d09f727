"""Arithmetic of a program, counted twice: by XLA, and by walking what jax has traced.

XLA counts the program that it is given, a loop as one turn of it. The walk multiplies by the turns, and is the
count that records and figures show. `tests/cost` holds the two to each other, loops taken once in both.

A multiplication and the addition that follows it are two operations. Exponentials and the like are not counted.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.interpreters.partial_eval import dce_jaxpr

from sandbox.arithmetic import operations


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
    return float(analysis.get("flops", 0.0))


def walk_flops(function: Callable[..., Any], *arguments: Any, loops_once: bool = False) -> float:
    """Floating-point operations of `function(*arguments)`, all turns of its loops counted; nothing is compiled.

    Args:
        function: of arrays.
        arguments: arrays, or their shapes.
        loops_once: count as XLA does, to compare.

    Raises:
        NotImplementedError: a loop runs until something happens, or a kernel does not say what it costs.
    """
    return float(operations(traced(function, *arguments), loops_once=loops_once)[0])


def traced(function: Callable[..., Any], *arguments: Any) -> Any:
    """The jaxpr of `function(*arguments)`, without what its results do not need."""
    jaxpr = jax.make_jaxpr(function)(*_shapes(arguments)).jaxpr
    return dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0]


class Compiled(NamedTuple):
    """What the compiler says of its program; None where this backend does not say."""

    flops: float | None
    """As compiled: what is computed twice counts twice, and a loop as one turn."""
    bytes_moved: float | None
    """Read and written by its parts, a loop again as one turn."""
    peak_bytes: int | None
    """Arguments, results and what is kept between them, at once."""

    @property
    def intensity(self) -> float | None:
        """Operations per byte moved."""
        return self.flops / self.bytes_moved if self.flops is not None and self.bytes_moved else None


def analyse(compiled: jax.stages.Compiled) -> Compiled:
    """Reads both analyses of a compiled program."""
    costs, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    peak = None
    if memory is not None:
        peak = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        peak -= memory.alias_size_in_bytes
    return Compiled(costs.get("flops"), costs.get("bytes accessed"), peak)


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
