"""Operations of a program, counted in its jaxpr, and the compiler's figures for the compiled program.

A multiplication and the addition that follows it are two operations. Exponentials and the like are not counted.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.interpreters.partial_eval import dce_jaxpr

from sandbox.arithmetic import operations


def count_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Floating-point operations of `function(*arguments)`, counting every loop iteration; nothing is compiled.

    The arguments are arrays or their shapes. Raises NotImplementedError if a loop has no fixed number of
    iterations, or a kernel has no cost estimate.
    """
    return float(operations(traced(function, *arguments))[0])


def traced(function: Callable[..., Any], *arguments: Any) -> Any:
    """The jaxpr of `function(*arguments)`, without equations that no result needs."""
    jaxpr = jax.make_jaxpr(function)(*_shapes(arguments)).jaxpr
    return dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0]


class Compiled(NamedTuple):
    """The compiler's analysis of its program; None for what a backend does not report."""

    flops: float | None
    """Operations as compiled: what is computed twice counts twice, and a loop counts one iteration."""
    bytes_moved: float | None
    """Bytes read and written by the parts of the program, a loop again counting one iteration."""
    peak_bytes: int | None
    """Arguments, results and temporary arrays together."""

    @property
    def intensity(self) -> float | None:
        """Operations per byte moved."""
        return self.flops / self.bytes_moved if self.flops is not None and self.bytes_moved else None


def analyse(compiled: jax.stages.Compiled) -> Compiled:
    """Reads the cost and memory analyses of a compiled program."""
    costs, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    peak = None
    if memory is not None:
        peak = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        peak -= memory.alias_size_in_bytes
    return Compiled(costs.get("flops"), costs.get("bytes accessed"), peak)


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
