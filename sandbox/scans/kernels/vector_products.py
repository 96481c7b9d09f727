"""Rewrites products with vectors as sums in the step of a rule, because kernels multiply only matrices."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Literal
from jaxtyping import Array

from sandbox.scans.rule import Inputs, Outputs, State, Update


def sum_vector_products(step: Update) -> Update:
    """The same step, with products such as `q @ S` computed as `sum(q[:, None] * S, axis=0)`."""

    def run(state: State, inputs: Inputs) -> tuple[State, Outputs]:
        jaxpr, results = jax.make_jaxpr(step, return_shape=True)(state, inputs)
        values = _evaluate(jaxpr, jax.tree.leaves((state, inputs)))
        return jax.tree.unflatten(jax.tree.structure(results), values)

    return run


def _evaluate(closed: Any, arguments: list[Any]) -> list[Any]:
    jaxpr = closed.jaxpr
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *arguments), strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        primitive, params = equation.primitive, equation.params
        if primitive.name == "dot_general" and min(operand.ndim for operand in operands) == 1:
            a, b = operands
            results = [_sum_products(a, b, params["dimension_numbers"])]
        elif primitive.name in ("jit", "pjit"):
            results = _evaluate(params["jaxpr"], operands)
        else:
            results = primitive.bind(*operands, **primitive.get_bind_params(params))
            results = results if primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _sum_products(a: Array, b: Array, dimension_numbers: Any) -> Array:
    """`lax.dot_general` of a vector and another array."""
    (a_axes, b_axes), _ = dimension_numbers
    if not a_axes:
        return lax.expand_dims(a, range(a.ndim, a.ndim + b.ndim)) * lax.expand_dims(b, range(a.ndim))
    array, vector, (axis,) = (b, a, b_axes) if a.ndim == 1 else (a, b, a_axes)
    vector = lax.expand_dims(vector, [other for other in range(array.ndim) if other != axis])
    return jnp.sum(array * vector, axis=axis)
