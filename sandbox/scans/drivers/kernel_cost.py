"""What a kernel costs at the true sizes, without padding: for the compiler, and for whoever asks it."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from sandbox.scans.drivers.kernel_plan import Leaf, Plan
from sandbox.scans.drivers.layout import join, whole_chunk
from sandbox.scans.rules.rule import Inputs, Outputs, State

TRANSCENDENTALS = frozenset(
    {"exp", "exp2", "expm1", "log", "log1p", "logistic", "tanh", "sin", "cos", "erf", "sqrt"}
)


def estimate_cost(plan: Plan, varying: Inputs, *, backward: bool) -> pl.CostEstimate:
    """Operations of all chunks of all heads, and the bytes of all that is read and written, each once.

    `varying` are the arrays in memory, for their precision.
    """
    chunked = plan.rule.chunk is not None
    tokens_at_once = plan.chunk_size if chunked else 1

    def update(state: State, varying: Inputs, fixed: Inputs) -> tuple[State, Outputs]:
        if not chunked:
            return plan.rule.step(state, join(varying, fixed))
        exists = jnp.ones((plan.chunk_size, 1), bool)
        return plan.rule.chunk(state, whole_chunk(plan.rule, varying, fixed, exists))

    def update_and_differentiate(state: State, varying: Inputs, fixed: Inputs) -> Any:
        results, pullback = jax.vjp(update, state, varying, fixed)
        return pullback(results)

    def struct(leaf: Leaf, *leading: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*leading, *leaf.true_shape), jnp.float32)

    leading = (tokens_at_once,) if chunked else ()
    jaxpr = jax.make_jaxpr(update_and_differentiate if backward else update)(
        jax.tree.map(struct, plan.state),
        jax.tree.map(lambda leaf: struct(leaf, *leading), plan.varying),
        jax.tree.map(struct, plan.fixed),
    )
    operations, transcendentals = count_operations(jaxpr.jaxpr)
    repeats = plan.batch * plan.heads * plan.tokens
    return pl.CostEstimate(
        flops=operations * repeats // tokens_at_once,
        transcendentals=transcendentals * repeats // tokens_at_once,
        bytes_accessed=_bytes(plan, varying, backward),
    )


def count_operations(jaxpr: Any) -> tuple[int, int]:
    """Arithmetic operations and transcendental functions: two for each term of a product, one for each number."""
    operations = transcendentals = 0
    for equation in jaxpr.eqns:
        inner = [value for value in equation.params.values() if hasattr(getattr(value, "jaxpr", value), "eqns")]
        if inner:
            times = equation.params.get("length", 1)
            for one, other in (count_operations(getattr(value, "jaxpr", value)) for value in inner):
                operations, transcendentals = operations + times * one, transcendentals + times * other
            continue
        numbers = sum(math.prod(variable.aval.shape) for variable in equation.outvars)
        name = equation.primitive.name
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            operations += 2 * numbers * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        elif name in TRANSCENDENTALS:
            transcendentals += numbers
        elif name.startswith("reduce_"):
            operations += math.prod(equation.invars[0].aval.shape)
        elif name not in ("broadcast_in_dim", "reshape", "iota", "convert_element_type", "transpose"):
            operations += numbers
    return operations, transcendentals


def _bytes(plan: Plan, varying: Inputs, backward: bool) -> int:
    per_sequence = plan.heads * plan.tokens

    def of_tokens(leaf: Leaf, itemsize: int) -> int:
        return math.prod(leaf.true_shape) * itemsize * per_sequence * (1 if leaf.shared else plan.batch)

    def of_heads(leaf: Leaf) -> int:
        return math.prod(leaf.true_shape) * 4 * plan.heads * (1 if leaf.shared else plan.batch)

    leaves = jax.tree.leaves
    states = sum(map(of_heads, leaves(plan.state)))
    inputs = sum(map(of_heads, leaves(plan.fixed))) + sum(
        of_tokens(leaf, array.dtype.itemsize)
        for leaf, array in zip(leaves(plan.varying), leaves(varying), strict=True)
    )
    outputs = sum(of_tokens(leaf, jnp.dtype(plan.output_dtype).itemsize) for leaf in leaves(plan.outputs))
    if backward:
        return 2 * inputs + outputs + (plan.num_chunks + 2) * states
    return inputs + outputs + 2 * states
