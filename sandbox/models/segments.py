"""Segments: several sequences in one row of tokens, across whose borders no layer looks.

    with in_segments(segment_ids):
        y = mixer(x)

What mixers share asks here: scans (`ScanConfig.scan_options`), short convolutions, token shifts, loops over
tokens, masks of attention and learned positions. A mixer made of these needs no line of its own, and
`MixerConfig.takes_segments` says so; a block takes the others token by token (`layers/token_by_token.py`). The
caller checks the ids, as `LanguageModel` does. Every segment starts from an empty state, the first one included:
this is for training, not for decoding. Positions that enter as differences (rotations, ALiBi) count from the
start of the row.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sandbox.scans.segments import SegmentIds, starts_segment

_open: contextvars.ContextVar[SegmentIds] = contextvars.ContextVar("segments", default=None)


def open_segments(steps: int = 1) -> SegmentIds:
    """The ids of the innermost block, for scans in which a token takes so many steps; None outside of one."""
    ids = _open.get()
    return ids if ids is None or steps == 1 else jnp.repeat(ids, steps, axis=1)


@contextlib.contextmanager
def in_segments(segment_ids: SegmentIds) -> Iterator[None]:
    """In its block, layers do not look across the borders of these segments."""
    token = _open.set(segment_ids)
    try:
        yield
    finally:
        _open.reset(token)


def open_starts() -> Bool[Array, "B T"] | None:
    """Whether a token starts a segment, the first one of a row excepted; None without segments."""
    return None if (ids := open_segments()) is None else starts_segment(ids)


def segment_numbers() -> Int[Array, "B T"] | None:
    """The number of each token's segment, counted from 0 in each row; None without segments."""
    return None if (starts := open_starts()) is None else jnp.cumsum(starts, axis=1)


def within_segment(visible: Bool[Array, "T S"]) -> Bool[Array, "#B T S"]:
    """The mask of the tokens that each token sees, restricted to its segment; S = T if there are segments."""
    if (numbers := segment_numbers()) is None:
        return visible[None]
    return visible[None] & (numbers[:, :, None] == numbers[:, None, :])


def places(positions: Int[Array, "T"]) -> Int[Array, "#B T"]:
    """The positions, or in segments those that start anew at 0."""
    if (starts := open_starts()) is None:
        return positions[None]
    row = jnp.arange(starts.shape[1])[None]
    return row - jnp.max(jnp.where(starts[:, None] & (row[:, None] <= row[:, :, None]), row[:, None], 0), axis=2)


def token_before(x: Float[Array, "B T ..."], last: Float[Array, "B ..."]) -> Float[Array, "B T ..."]:
    """What each token has before it: the token before, or `last`; zeros at the start of a segment."""
    before = jnp.concatenate([last[:, None].astype(x.dtype), x[:, :-1]], axis=1)
    if (starts := open_starts()) is None:
        return before
    return jnp.where(jnp.expand_dims(starts, range(2, x.ndim)), 0, before)
