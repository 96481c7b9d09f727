"""The jaxpr of one chunk of a rule, and the operands of its matrix products."""

import itertools
import math
import sys
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.arithmetic import equations
from sandbox.scans.layout import join, whole_chunk
from sandbox.scans.rule import Inputs, Outputs, Rule, State


def trace(rule: Rule, state: State, varying: Inputs, fixed: Inputs, *, size: int, backward: bool) -> Any:
    """Traces a chunk of `size` tokens, or one token if the rule has no chunk form, or the gradient of either.

    Arguments are those of one head and one token; only their shapes matter.
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


def reused_operands(jaxpr: Any) -> int:
    """Bytes of the arrays that several matrix products read, and which therefore stay in memory."""
    uses = Counter(itertools.chain.from_iterable(_operands_of_products(jaxpr)))
    return sum(
        math.prod(operand.aval.shape) * operand.aval.dtype.itemsize for operand, times in uses.items() if times > 1
    )


def shortest_side(jaxpr: Any) -> int:
    """The fewest rows or columns of any operand of a matrix product."""
    operands = itertools.chain.from_iterable(_operands_of_products(jaxpr))
    return min((size for operand in operands for size in operand.aval.shape), default=sys.maxsize)


def _operands_of_products(jaxpr: Any) -> list[set[Any]]:
    return [set(equation.invars) for equation, _ in equations(jaxpr) if equation.primitive.name == "dot_general"]
