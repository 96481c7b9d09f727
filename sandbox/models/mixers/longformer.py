"""Longformer's attention (Beltagy et al. 2020, arXiv:2004.05150, section 3), made causal.

    o_t = Σ_{i ∈ A_t} softmax_i(q_t·k_i / √K) v_i ,   A_t = {i < g} ∪ {t-W < i ≤ t}        for t ≥ g
    o_t = Σ_{i ≤ t} softmax_i(q'_t·k'_i / √K) v'_i                                          for t < g

The first g tokens are global: every later token sees them, and they see every token before them. As in the paper
(section 3.1, "linear projections for global attention"), they read through separate projections (q', k', v')
and are read through the common ones. So o_t is what Longformer computes for the last token of x_0 … x_t, with
W - 1 tokens on either side in its window.

The paper adds learned positions to the embedding. Its causal models have no global tokens (`num_global=0`) and
dilate some windows, which is omitted here.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers.attention import Attention, AttentionConfig, in_front, join
from sandbox.models.layers.windows import in_window, query_blocks, window_blocks, window_positions
from sandbox.models.mixer import Card
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class LongformerConfig(AttentionConfig):
    """Softmax attention over the first `num_global` and the last `d_state` tokens."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ_i softmax_i(q_t·k_i / √K) v_i over i < g and t-W < i ≤ t",
        decay="forgets after W tokens, apart from the first g",
        update="window, global tokens",
        paper="Beltagy et al. 2020, arXiv:2004.05150",
        d_state="tokens W of the window",
    )

    d_state: int = 16
    """The size knob: tokens W of the window, the query's own included. Global tokens come on top."""
    num_global: int = 4
    """Number g of initial tokens that all later ones see; at most `d_state`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_at_least("mixer.num_global", self.num_global, 0)
        if self.num_global > self.d_state:
            raise ValueError(
                f"mixer.num_global={self.num_global} must be at most the window, mixer.d_state={self.d_state}"
            )


class LongformerState(NamedTuple):
    """The keys and values of the global tokens and of the last W - 1 tokens, oldest first.

    The window holds k, v of ordinary tokens but k', v' of global ones, which only global tokens read there; the
    others read the global rows.
    """

    k: Annotated[Float[Array, "B S G K"], StateKind.cache]
    v: Annotated[Float[Array, "B S G K"], StateKind.cache]
    global_k: Annotated[Float[Array, "B I G K"], StateKind.cache]
    global_v: Annotated[Float[Array, "B I G K"], StateKind.cache]
    length: Annotated[Int[Array, ""], StateKind.counter]
    """Tokens so far."""


class Longformer(Attention):
    """Causal Longformer. Decode state: a `LongformerState`."""

    config: LongformerConfig

    def __init__(self, config: LongformerConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        self.has_global = config.num_global > 0
        if self.has_global:
            self.global_q = self._dense(d_model, d_model, rngs=rngs)
            self.global_k = self._dense(d_model, config.kv_heads * self.head_dim, rngs=rngs)
            self.global_v = self._dense(d_model, config.kv_heads * self.head_dim, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> LongformerState:
        self.config.check_length(max_len)
        window = self._rows(batch_size, self.config.d_state - 1)
        first = self._rows(batch_size, self.config.num_global)
        return LongformerState(window, window, first, first, jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: LongformerState) -> tuple[Activations, LongformerState]:
        (batch, length, _), window, start = x.shape, self.config.d_state, state.length
        q, k, v = self._project(x, start + jnp.arange(length))
        global_k, global_v = (
            self._keep_global(old, new, start) for old, new in ((state.global_k, k), (state.global_v, v))
        )
        if self.has_global:
            q, k, v = self._replace_global(x, (q, k, v), start)
        k, v = join(state.k, k), join(state.v, v)

        q_positions, k_positions = window_positions(start, length, window)
        visible = in_window(q_positions, k_positions, window)
        is_local = q_positions >= self.config.num_global
        visible &= ~is_local[:, :, None] | (k_positions >= self.config.num_global)[:, None]
        # Each block sees the global rows as well, in front of its own.
        firsts = jnp.arange(self.config.num_global)
        blocks = q_positions.shape[0]
        visible = jnp.concatenate(
            [jnp.broadcast_to(is_local[:, :, None], (*is_local.shape, firsts.size)), visible], axis=2
        )
        k_positions = jnp.concatenate([jnp.broadcast_to(firsts[None], (blocks, firsts.size)), k_positions], axis=1)
        attended = self._attend_by_block(
            query_blocks(q, window),
            in_front(global_k, window_blocks(k, length, window)),
            in_front(global_v, window_blocks(v, length, window)),
            q_positions,
            k_positions,
            visible,
        )
        attended = attended.reshape(batch, -1, *q.shape[2:])[:, :length]
        state = LongformerState(k[:, length:], v[:, length:], global_k, global_v, start + length)
        return self._merge(attended), state

    def _keep_global(
        self, old: Float[Array, "B I G K"], new: Float[Array, "B T G K"], start: Int[Array, ""]
    ) -> Float[Array, "B I G K"]:
        source = jnp.arange(old.shape[1]) - start
        is_new = (source >= 0) & (source < new.shape[1])
        found = jnp.take(new, source, axis=1, mode="clip").astype(old.dtype)
        return jnp.where(is_new[None, :, None, None], found, old)

    def _replace_global(
        self,
        x: Activations,
        local: tuple[Float[Array, "B T H K"], Float[Array, "B T G K"], Float[Array, "B T G K"]],
        start: Int[Array, ""],
    ) -> tuple[Float[Array, "B T H K"], Float[Array, "B T G K"], Float[Array, "B T G K"]]:
        front = min(x.shape[1], self.config.num_global)  # no later token can be global
        positions = start + jnp.arange(front)
        is_global = (positions < self.config.num_global)[None, :, None, None]

        def replace(parts):
            own = self._project(x[:, :front], positions, (self.global_q, self.global_k, self.global_v))
            return tuple(
                part.at[:, :front].set(jnp.where(is_global, new, part[:, :front]))
                for part, new in zip(parts, own, strict=True)
            )

        return jax.lax.cond(start < self.config.num_global, replace, lambda parts: parts, local)


LongformerConfig.mixer = Longformer
