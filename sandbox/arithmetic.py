"""Counts the arithmetic of a program in its jaxpr."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
from jax import lax

FREE = frozenset(
    {
        "broadcast_in_dim",
        "complex",
        "concatenate",
        "convert_element_type",
        "copy",
        "dynamic_slice",
        "dynamic_update_slice",
        "gather",
        "imag",
        "iota",
        "pad",
        "real",
        "reshape",
        "rev",
        "scatter",
        "slice",
        "split",
        "squeeze",
        "stop_gradient",
        "transpose",
        "unstack",
    }
)
"""Primitives that only move elements or change their type."""

TRANSCENDENTAL = frozenset(
    {
        "atan2",
        "cbrt",
        "cos",
        "cosh",
        "erf",
        "erf_inv",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "logistic",
        "pow",
        "rsqrt",
        "sin",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
    }
)

OPAQUE = frozenset({"core_map", "eigh", "lu", "qr", "svd", "while"})
"""Primitives whose parameters do not determine their number of operations."""

COMPLEX = {"mul": 6, "div": 11, "integer_pow": 6}
"""Real operations in one complex operation; two for any other."""


def operations(jaxpr: Any, *, loops_once: bool = False) -> tuple[int, int]:
    """The number of ordinary operations, and that of transcendental functions."""
    counts = operations_by_primitive(jaxpr, loops_once=loops_once)
    transcendental = sum(count for name, count in counts.items() if name in TRANSCENDENTAL)
    return counts.total() - transcendental, transcendental


def operations_by_primitive(jaxpr: Any, *, loops_once: bool = False) -> Counter[str]:
    """The number of operations of a program, by primitive.

    A matrix product counts two per term, a sum one less than its terms, any other primitive one per element of
    its result, and a Fourier transform of N elements 5 N log2 N, or half of that if they are real. A Cholesky
    factor of N rows takes N³ / 3, and a triangular system N² for each right-hand side. Complex operations
    count as real ones. `FREE` primitives count nothing, kernels their cost estimate, conditions their largest
    branch, and loops every iteration, or with `loops_once` those in their compiled body.

    Raises:
        NotImplementedError: a primitive is `OPAQUE`, or a kernel has no cost estimate.
    """
    counts: Counter[str] = Counter()
    for equation, times in equations(jaxpr, loops_once=loops_once):
        if equation.primitive.name not in FREE:
            counts[equation.primitive.name] += times * operations_of(equation)
    return counts


def operations_of(equation: Any) -> int:
    """The number of operations of one equation that is neither a call nor `FREE`."""
    name, params = equation.primitive.name, equation.params
    first: Any = equation.invars[0].aval if equation.invars else None
    results = sum(math.prod(variable.aval.shape) for variable in equation.outvars)
    is_complex = first is not None and jnp.issubdtype(first.dtype, jnp.complexfloating)
    if name == "pallas_call":
        return params["cost_estimate"].flops
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return (8 if is_complex else 2) * results * math.prod(first.shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel, layout = equation.invars[1].aval.shape, params["dimension_numbers"].rhs_spec
        return 2 * results * math.prod(kernel) // kernel[layout[0]]
    if name == "fft":
        length = math.prod(params["fft_lengths"])
        elements = max(math.prod(first.shape), results)  # the real side is the larger one
        is_real = params["fft_type"] in (lax.FftType.RFFT, lax.FftType.IRFFT)
        return round((2.5 if is_real else 5) * elements * math.log2(length))
    if name == "cholesky":
        return results * first.shape[-1] // 3
    if name == "triangular_solve":
        return results * first.shape[-1]
    if name.startswith("scatter"):
        return math.prod(equation.invars[2].aval.shape)
    if name.startswith(("reduce_", "arg")):
        return max(math.prod(first.shape) - results, 0)
    if name == "integer_pow":
        power = abs(params["y"])
        results *= max(1, power.bit_length() + power.bit_count() - 2)
    return results * (COMPLEX.get(name, 2) if is_complex else 1)


def equations(jaxpr: Any, times: int = 1, *, loops_once: bool = False) -> Iterator[tuple[Any, int]]:
    """Every equation that is not a call, with the number of times it runs."""
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name in OPAQUE or (name == "pallas_call" and params["cost_estimate"] is None):
            raise NotImplementedError(f"the operations of {name} cannot be counted: it does not say how many")
        if name == "cond":
            called = [
                max((branch.jaxpr for branch in params["branches"]), key=lambda branch: operations(branch)[0])
            ]
        elif name == "pallas_call" or name.startswith(("scatter", "reduce_")):  # whose inner programs are details
            called = []
        else:
            called = [getattr(value, "jaxpr", value) for value in params.values()]
            called = [inner for inner in called if hasattr(inner, "eqns")]
        iterations = _iterations(params, loops_once) if name == "scan" else 1
        for inner in called:
            yield from equations(inner, times * iterations, loops_once=loops_once)
        if not called:
            yield equation, times


def _iterations(params: dict[str, Any], loops_once: bool) -> int:
    """Iterations of a scan, or with `loops_once` those in its compiled body."""
    length, unroll = params["length"], params["unroll"]
    if not loops_once or length <= unroll:
        return length
    return unroll + length % unroll
