"""What one chunk of a rule costs, read off its traced form: operations, and what its matrix products read."""

import itertools
import math
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.scans.drivers.layout import join, whole_chunk
from sandbox.scans.rules.rule import Inputs, Outputs, Rule, State

FREE = frozenset({"broadcast_in_dim", "convert_element_type", "copy", "iota", "reshape", "squeeze", "transpose"})
TRANSCENDENTAL = frozenset(
    {"cos", "erf", "exp", "exp2", "expm1", "log", "log1p", "logistic", "pow", "rsqrt", "sin", "sqrt", "tanh"}
)


def trace(rule: Rule, state: State, varying: Inputs, fixed: Inputs, *, size: int, backward: bool) -> Any:
    """The jaxpr of a chunk of `size` tokens, or of one token where the rule has no chunk form, or of the gradient.

    The arrays are those of one head and one token, of which only the shapes matter.
    """

    def update(state: State, varying: Inputs, fixed: Inputs) -> tuple[State, Outputs]:
        if rule.chunk is None:
            return rule.step(state, join(varying, fixed))
        return rule.chunk(state, whole_chunk(rule, varying, fixed, jnp.ones((size, 1), bool)))

    def differentiate(state: State, varying: Inputs, fixed: Inputs) -> tuple[State, Inputs, Inputs]:
        results, pullback = jax.vjp(update, state, varying, fixed)
        return pullback(results)

    def of_a_chunk(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((size, *leaf.shape), leaf.dtype)

    if rule.chunk is not None:
        varying = jax.tree.map(of_a_chunk, varying)
    return jax.make_jaxpr(differentiate if backward else update)(state, varying, fixed).jaxpr


def operations(jaxpr: Any) -> tuple[int, int]:
    """Operations, and transcendental functions among them: two for each term of a product, else one a number."""
    ordinary = transcendental = 0
    for equation, times in _equations(jaxpr):
        numbers = times * sum(math.prod(variable.aval.shape) for variable in equation.outvars)
        name = equation.primitive.name
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            ordinary += 2 * numbers * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        elif name.startswith("reduce_"):
            ordinary += times * math.prod(equation.invars[0].aval.shape)
        elif name in TRANSCENDENTAL:
            transcendental += numbers
        elif name not in FREE:
            ordinary += numbers
    return ordinary, transcendental


def reused_operands(jaxpr: Any) -> int:
    """Bytes of the arrays that enter several matrix products, which are kept where products read them."""
    uses = Counter(itertools.chain.from_iterable(_operands_of_products(jaxpr)))
    return sum(
        math.prod(operand.aval.shape) * operand.aval.dtype.itemsize for operand, times in uses.items() if times > 1
    )


def shortest_side(jaxpr: Any) -> int:
    """The least number of rows or columns of an array that is multiplied as a matrix."""
    operands = itertools.chain.from_iterable(_operands_of_products(jaxpr))
    return min((size for operand in operands for size in operand.aval.shape), default=sys.maxsize)


def _operands_of_products(jaxpr: Any) -> list[set[Any]]:
    return [set(equation.invars) for equation, _ in _equations(jaxpr) if equation.primitive.name == "dot_general"]


def _equations(jaxpr: Any, times: int = 1) -> Iterator[tuple[Any, int]]:
    """All equations that are not calls, and how often each is run."""
    for equation in jaxpr.eqns:
        called = [getattr(value, "jaxpr", value) for value in equation.params.values()]
        called = [inner for inner in called if hasattr(inner, "eqns")]
        for inner in called:
            yield from _equations(inner, times * equation.params.get("length", 1))
        if not called:
            yield equation, times
