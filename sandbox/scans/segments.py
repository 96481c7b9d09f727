"""Segments: several sequences in one row, of which each starts with an empty state.

A rule learns of them by one input, `starts`: one for a token that starts a segment, zero for any other, None if
there is one segment only. `step` empties the state before such a token; a chunk form makes it a decay that leaves
nothing. It is a constant to derivatives.
"""

from typing import Any, overload

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from sandbox.scans.argument_checks import check_segment_ids
from sandbox.scans.layout import batch_size, num_tokens
from sandbox.scans.rule import Inputs, Rule

SegmentIds = Int[Array, "B T"] | None
"""The segment of each token. It ends where the id changes, so an id that comes back is another segment."""

Starts = Float[Array, "*C 1"] | None
"""One where a token starts a segment, else zero; None: nowhere."""

NOTHING_LEFT = -1e30
"""A log decay that leaves nothing; the sum of those of a chunk is finite."""


def starts_segment(segment_ids: Int[Array, "B T"]) -> Bool[Array, "B T"]:
    """Whether a token has another id than the one before it; the first one continues what came before the row."""
    return jnp.diff(segment_ids, axis=1, prepend=segment_ids[:, :1]) != 0


def mark_starts(rule: Rule, inputs: Inputs, segment_ids: SegmentIds) -> Inputs:
    """The inputs `[B, T, H, …]` of a rule with `starts`, or as they are if no token can start a segment."""
    if segment_ids is None:
        return inputs
    batch, tokens = batch_size(inputs), num_tokens(inputs)
    check_segment_ids(segment_ids, batch, tokens)
    if "starts" not in inputs._fields:
        raise NotImplementedError(f"segment_ids: {rule.name} has no input `starts`, to start anew")
    if tokens == 1:
        return inputs
    starts = starts_segment(segment_ids).astype(jnp.float32)
    heads = jax.tree.leaves(inputs)[0].shape[2]
    return inputs._replace(starts=jnp.broadcast_to(starts[:, :, None, None], (batch, tokens, heads, 1)))


def carried(starts: Starts, state: Any) -> Any:
    """The state as a token finds it: empty, which is zero, where the token starts a segment.

    In a chunk form the state may be any array `[C, …]`, such as the queries that read the state.
    """
    if starts is None:
        return state
    goes_on = lax.stop_gradient(1.0 - starts)
    return jax.tree.map(lambda leaf: jnp.expand_dims(goes_on, range(starts.ndim, leaf.ndim)) * leaf, state)


@overload
def forgotten(starts: Starts, log_decay: Array) -> Array: ...
@overload
def forgotten(starts: Starts, log_decay: Array | None) -> Array | None: ...
def forgotten(
    starts: Starts, log_decay: Float[Array, "C 1"] | Float[Array, "C K"] | None
) -> Float[Array, "C 1"] | Float[Array, "C K"] | None:
    """The log decay of the tokens of a chunk, which leaves nothing of what came before a segment."""
    if starts is None:
        return log_decay
    forgets = NOTHING_LEFT * lax.stop_gradient(starts)
    return forgets if log_decay is None else log_decay + forgets
