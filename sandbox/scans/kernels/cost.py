"""The cost of a kernel without padding, for the compiler and for counts of operations."""

import math

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from sandbox.arithmetic import operations
from sandbox.scans.kernels.plan import Leaf, Plan
from sandbox.scans.kernels.traced import trace
from sandbox.scans.rule import Inputs


def estimate_cost(plan: Plan, varying: Inputs, *, backward: bool) -> pl.CostEstimate:
    """Operations for all tokens of all heads, and bytes read and written, each array once.

    Only the precision of the arrays in `varying` matters.
    """
    leaves = plan.state, plan.varying, plan.fixed
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((*leaf.leading, *leaf.true_shape), jnp.float32), leaves
    )
    ordinary, transcendental = operations(trace(plan.rule, *shapes, size=plan.chunk_size, backward=backward))
    tokens_at_once = 1 if plan.rule.chunk is None else plan.chunk_size
    tokens = plan.batch * plan.heads * plan.tokens
    return pl.CostEstimate(
        flops=ordinary * tokens // tokens_at_once,
        transcendentals=transcendental * tokens // tokens_at_once,
        bytes_accessed=_bytes(plan, varying, backward),
    )


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
