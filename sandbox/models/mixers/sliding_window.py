"""Sliding-window attention (Beltagy et al. 2020, section 3.1; Mistral: Jiang et al. 2023, arXiv:2310.06825).

    o_t = Σ_{t-W<i≤t} softmax_i(q_t·k_i / √K) v_i

A query sees W tokens, its own included, which is the convention of Mistral's model in `transformers`.
"""

import dataclasses
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from sandbox.models.attention import Attention, AttentionConfig, join
from sandbox.models.mixer import Card, Mixer
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class SlidingWindowConfig(AttentionConfig):
    """Softmax attention over the last `d_state` tokens."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ_{t-W<i≤t} softmax_i(q_t·k_i / √K) v_i",
        decay="forgets after W tokens",
        update="window",
        paper="Jiang et al. 2023, arXiv:2310.06825",
    )

    d_state: int = 16
    """Tokens that a query sees, its own included: the window W."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)

    def make(self, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Mixer:
        """A mixer of width `d_model`."""
        self.check(d_model)
        return SlidingWindow(self, d_model, rngs=rngs, dtype=dtype)


class WindowCache(NamedTuple):
    """The keys and values of the last W - 1 tokens, oldest first: what the next token sees beside its own."""

    k: Float[Array, "B S G K"]
    v: Float[Array, "B S G K"]
    length: Int[Array, ""]
    """Tokens so far: the position of the next, and which rows are still empty."""


class SlidingWindow(Attention):
    """See `SlidingWindowConfig`. Decode state: a `WindowCache`."""

    config: SlidingWindowConfig

    def init_state(self, batch_size: int, max_len: int) -> WindowCache:
        self.config.check_length(max_len)
        rows = self._rows(batch_size, self.config.d_state - 1)
        return WindowCache(k=rows, v=rows, length=jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: WindowCache) -> tuple[Activations, WindowCache]:
        batch, length, _ = x.shape
        q, k, v = self._project(x, state.length + jnp.arange(length))
        k, v = (join(old, new) for old, new in ((state.k, k), (state.v, v)))
        window = self.config.d_state
        q_positions, k_positions = window_positions(state.length, length, window)
        attended = self._attend_by_block(
            query_blocks(q, window),
            window_blocks(k, length, window),
            window_blocks(v, length, window),
            q_positions,
            k_positions,
            in_window(q_positions, k_positions, window),
        )
        attended = attended.reshape(batch, -1, *q.shape[2:])[:, :length]
        return self._merge(attended), WindowCache(k[:, length:], v[:, length:], state.length + length)


# T queries stand in blocks of C = min(T, W). A block sees S rows: its own and the W - 1 before it (and, where
# there are several blocks, one more, which is in its future). So arithmetic and memory are O(T W).


def query_blocks(q: Float[Array, "B T H K"], window: int) -> Float[Array, "B blocks C H K"]:
    """The queries of each block; the last one is filled up with zeros."""
    size = min(q.shape[1], window)
    q = jnp.pad(q, ((0, 0), (0, -q.shape[1] % size), (0, 0), (0, 0)))
    return q.reshape(q.shape[0], -1, size, *q.shape[2:])


def window_blocks(rows: Float[Array, "B P G K"], length: int, window: int) -> Float[Array, "B blocks S G K"]:
    """The keys or values that each block of queries sees, of W - 1 carried `rows` and `length` new ones."""
    if length <= window:
        return rows[:, None]
    blocks = -(-length // window) + 1
    rows = jnp.pad(rows, ((0, 0), (0, blocks * window - rows.shape[1]), (0, 0), (0, 0)))
    rows = rows.reshape(rows.shape[0], blocks, window, *rows.shape[2:])
    return jnp.concatenate([rows[:, :-1], rows[:, 1:]], axis=2)


def window_positions(
    start: Int[Array, ""], length: int, window: int
) -> tuple[Int[Array, "blocks C"], Int[Array, "blocks S"]]:
    """Positions of the queries of `query_blocks` and of the rows of `window_blocks`; negative where empty."""
    size = min(length, window)
    seen = 2 * window if length > window else length + window - 1
    first = start + size * jnp.arange(-(-length // size))[:, None]
    return first + jnp.arange(size)[None], first - (window - 1) + jnp.arange(seen)[None]


def in_window(
    q_positions: Int[Array, "blocks C"], k_positions: Int[Array, "blocks S"], window: int
) -> Bool[Array, "blocks C S"]:
    """Which rows each query sees."""
    distance = q_positions[:, :, None] - k_positions[:, None, :]
    return (distance >= 0) & (distance < window) & (k_positions >= 0)[:, None, :]
