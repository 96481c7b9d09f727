"""The layout of batches: states have leaves `[B, H, …]`, inputs `[B, T, H, …]`.

B or T of an input may be one: all sequences or all tokens then share it, and it is not repeated in memory.
"""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from sandbox.scans.rule import Inputs, Outputs, Rule, State, Update


def compute_dtype(inputs: Inputs) -> DTypeLike:
    """The precision of states and of arithmetic: float32, or float64 if an input has it."""
    return jnp.promote_types(jnp.result_type(*jax.tree.leaves(inputs)), jnp.float32)


def num_tokens(inputs: Inputs) -> int:
    """T."""
    return max(leaf.shape[1] for leaf in jax.tree.leaves(inputs))


def size_in_bytes(tree: Any) -> int:
    """The memory that the arrays of a tree take."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def batch_size(inputs: Inputs) -> int:
    """B."""
    return max(leaf.shape[0] for leaf in jax.tree.leaves(inputs))


def cast(tree: Any, dtype: DTypeLike) -> Any:
    """The tree with all leaves in `dtype`."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def initial_states(rule: Rule, inputs: Inputs) -> State:
    """The empty states `[B, H, …]`, sharded like the batch."""
    of_one_token = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[3:], leaf.dtype), inputs)
    of_one_head = cast(rule.initial_state(of_one_token), compute_dtype(inputs))
    batch = batch_size(inputs)
    zeros = zeros_like_batch([leaf[:, 0] for leaf in jax.tree.leaves(inputs) if leaf.shape[0] == batch])
    return jax.tree.map(
        lambda leaf: (leaf[None, None] + zeros.reshape(*zeros.shape, *[1] * leaf.ndim)).astype(leaf.dtype),
        of_one_head,
    )


def one_after_the_other(
    x: Float[Array, "B T N *rest"], before: int = 0, after: int = 0
) -> Float[Array, "B S *rest"]:
    """Several inputs of each token as tokens of their own, with so many zeros before and after them.

    A scan over them takes several steps for each token: S = T (before + N + after).
    """
    x = jnp.pad(x, [(0, 0), (0, 0), (before, after), *[(0, 0)] * (x.ndim - 3)])
    return x.reshape(x.shape[0], -1, *x.shape[3:])


def at_first_step(
    log_decay: Float[Array, "H R"] | Float[Array, "B T H R"] | None, steps: Float[Array, "B T N *rest"]
) -> Float[Array, "H R"] | Float[Array, "B S H R"] | None:
    """The decays of tokens of N steps each, for a scan over all S = T N steps, of which each first one decays."""
    if log_decay is None or steps.shape[2] == 1:
        return log_decay
    by_token = jnp.broadcast_to(log_decay, (*steps.shape[:2], *log_decay.shape[-2:]))
    return one_after_the_other(by_token[:, :, None], after=steps.shape[2] - 1)


def zeros_like_batch(leaves: Iterable[Array]) -> Float[Array, "B H"]:
    """Zeros sharded like these leaves `[B, H, …]`; a constant would be copied whole to each device."""
    zeros = [jnp.where(leaf == leaf, 0.0, 0.0).astype(jnp.float32) for leaf in leaves]
    return functools.reduce(jnp.add, [jnp.sum(leaf, axis=range(2, leaf.ndim)) for leaf in zeros])


def states_with_columns(rule: Rule, state: State) -> State:
    """Whether the last axis of each leaf is the V columns: a tree of bools, all False if columns mix."""
    has_columns = rule.column_states if rule.column_inputs else False
    return jax.tree.map(lambda _: has_columns, state) if isinstance(has_columns, bool) else has_columns


def split_fixed(inputs: Inputs) -> tuple[Inputs, Inputs]:
    """The inputs that vary over time and those that are fixed; each tree has None for leaves of the other."""
    tokens = num_tokens(inputs)
    varying = jax.tree.map(lambda leaf: leaf if leaf.shape[1] == tokens else None, inputs)
    fixed = jax.tree.map(lambda leaf: None if leaf.shape[1] == tokens else leaf, inputs)
    return varying, fixed


def of_every_token(fixed: Inputs, dtype: DTypeLike) -> Inputs:
    """The fixed inputs without their time axis, `[B, H, …]`, in `dtype`."""
    return cast(jax.tree.map(lambda leaf: leaf[:, 0], fixed), dtype)


def join(some: Inputs, others: Inputs) -> Inputs:
    """Undoes `split_fixed`."""
    return jax.tree.map(
        lambda one, other: other if one is None else one, some, others, is_leaf=lambda leaf: leaf is None
    )


def over_batch_and_heads(update: Update, states: State, inputs: Inputs) -> tuple[State, Outputs]:
    """Maps `update`, which works on one head of one sequence, over leading axes B (or 1) and H.

    What depends only on shared inputs, such as fixed decays, is computed once per head.
    """
    batch = jax.tree.leaves(states)[0].shape[0]

    def is_shared(leaf: Array) -> bool:
        return leaf.shape[0] == 1 and batch > 1

    batch_axes = jax.tree.map(lambda leaf: None if is_shared(leaf) else 0, inputs)
    inputs = jax.tree.map(lambda leaf: leaf[0] if is_shared(leaf) else leaf, inputs)
    return jax.vmap(jax.vmap(update), in_axes=(0, batch_axes))(states, inputs)


def padding_of(rule: Rule, inputs: Inputs) -> Inputs:
    """The tree of `inputs` with the padding value of each input as its leaf."""
    named = {name: rule.padding.get(name, 0.0) for name in inputs._fields if getattr(inputs, name) is not None}
    return type(inputs)(**{name: named.get(name) for name in inputs._fields})


def whole_chunk(rule: Rule, varying: Inputs, fixed: Inputs, exists: Bool[Array, "C 1"]) -> Inputs:
    """The inputs of one head to `rule.chunk`, with fixed ones repeated for every token that exists.

    Leaves of `varying` are `[C, …]`, already padded; those of `fixed` have no time axis.
    """

    def repeat(leaf: Array, number: float) -> Array:
        return jnp.where(exists.reshape(-1, *[1] * leaf.ndim), leaf[None], number)

    return join(varying, jax.tree.map(repeat, fixed, padding_of(rule, fixed)))


def matmul_precision(inputs: Inputs) -> str:
    """The default precision of products in a rule: full, unless an input has 16 bits."""
    narrowest = min(leaf.dtype.itemsize for leaf in jax.tree.leaves(inputs))
    return "default" if narrowest <= 2 else "highest"


def next_power_of_two(number: int) -> int:
    """The smallest power of two >= `number`."""
    return 1 << (number - 1).bit_length()
