"""Softmax attention (Vaswani et al. 2017, arXiv:1706.03762) over all tokens so far.

    o_t = Σ_{i≤t} softmax_i(q_t·k_i / √K) v_i        per head

Heads, projections and positions are those of `sandbox.models.layers.attention`.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sandbox.models.layers.attention import Attention, AttentionConfig, Positions, attention_implementation, join
from sandbox.models.mixer import Card
from sandbox.models.segments import open_segments, within_segment
from sandbox.ran import note_implementation
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class SoftmaxConfig(AttentionConfig):
    """Softmax attention over all tokens so far, whose keys and values are all kept."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ_{i≤t} softmax_i(q_t·k_i / √K) v_i",
        decay="none",
        update="append",
        paper="Vaswani et al. 2017, arXiv:1706.03762",
    )
    grows: ClassVar[bool] = True
    takes_segments: ClassVar[bool] = True

    positions: Positions = Positions.none


class KVCache(NamedTuple):
    """The keys and values of all tokens so far, in arrays of `max_len` rows."""

    k: Annotated[Float[Array, "B S G K"], StateKind.cache]
    v: Annotated[Float[Array, "B S G K"], StateKind.cache]
    near_k: Annotated[Float[Array, "B R I K"], StateKind.cache] | None
    """The last rows, oldest first, of key/value heads whose query heads are all windowed (`hard_alibi`): one fewer
    than the largest of these windows. `k` omits these heads. None if there are none."""
    near_v: Annotated[Float[Array, "B R I K"], StateKind.cache] | None
    length: Annotated[Int[Array, ""], StateKind.counter]
    """Tokens so far."""


class Softmax(Attention):
    """Softmax attention over all tokens so far. Decode state: a `KVCache` of `max_len` rows."""

    def __call__(self, x: Activations) -> Activations:
        self.config.check_length(x.shape[1])
        positions = jnp.arange(x.shape[1])
        q, k, v = self._project(x, positions)
        biased = self.config.positions in (Positions.alibi, Positions.hard_alibi)
        if biased or open_segments() is not None:
            visible = within_segment(positions[None, :] <= positions[:, None])
            return self._merge(self._attend(q, k, v, positions, positions, visible))
        implementation = attention_implementation(self.head_dim, q.dtype, self.config.positions)
        note_implementation(implementation)
        return self._merge(jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation=implementation))

    def init_state(self, batch_size: int, max_len: int) -> KVCache:
        self.config.check_length(max_len)
        near, heads = self._near_heads()
        far_rows = self._rows(batch_size, max_len, heads=self.config.kv_heads - near)
        near_rows = self._rows(batch_size, heads - 1, heads=near) if near else None
        return KVCache(far_rows, far_rows, near_rows, near_rows, jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: KVCache) -> tuple[Activations, KVCache]:
        start, length = state.length, x.shape[1]
        positions = start + jnp.arange(length)
        q, k, v = self._project(x, positions)
        near, heads = self._near_heads()
        k_cache, v_cache = (
            jax.lax.dynamic_update_slice(old, new[:, :, near:].astype(old.dtype), (0, start, 0, 0))
            for old, new in ((state.k, k), (state.v, v))
        )
        rows = jnp.arange(k_cache.shape[1])
        visible = rows[None, :] <= positions[:, None]
        attended = self._attend(q[:, :, heads:], k_cache, v_cache, positions, rows, visible, slice(heads, None))
        near_k, near_v = state.near_k, state.near_v
        if near_k is not None and near_v is not None:
            near_k, near_v = join(near_k, k[:, :, :near]), join(near_v, v[:, :, :near])
            rows = start - (heads - 1) + jnp.arange(near_k.shape[1])
            visible = (rows[None, :] <= positions[:, None]) & (rows >= 0)[None, :]
            close = self._attend(q[:, :, :heads], near_k, near_v, positions, rows, visible, slice(heads))
            attended = jnp.concatenate([close, attended], axis=2)
            near_k, near_v = near_k[:, length:], near_v[:, length:]
        return self._merge(attended), KVCache(k_cache, v_cache, near_k, near_v, start + length)

    def _near_heads(self) -> tuple[int, int]:
        """Number of leading key/value heads that need only the last tokens, and of query heads that read them."""
        if self.config.positions is not Positions.hard_alibi:
            return 0, 0
        group = self.config.num_heads // self.config.kv_heads
        near = int((self.config.windows > 0).sum()) // group
        return near, near * group


SoftmaxConfig.mixer = Softmax
