"""PaTH attention (Yang et al. 2025, arXiv:2505.16381): softmax attention whose positions are products of
reflections.

    w_t = l2norm(silu(Σ_{i<3} c_i ⊙ (x W₁ W₂)_{t-i})) ,   β_t = 2 σ(x_t W_β + b_β)         per head of keys
    H_t = I - β_t w_t w_tᵀ
    o_t = Σ_{i≤t} softmax_i(q_tᵀ H_t H_{t-1} … H_{i+1} k_i / √K) v_i

What lies between two tokens changes how well they fit, as a rotary encoding does by distance alone. With a
vector w for each token the product can track a state. Training computes all pairs by one triangular system;
decoding turns every cached key by each token's H.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers.attention import Attention, AttentionConfig, Positions
from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense, LowRank
from sandbox.models.layers.norms import l2_normalize
from sandbox.models.mixer import Card
from sandbox.models.segments import within_segment
from sandbox.option_checks import check_at_least
from sandbox.ran import note_implementation
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class PaTHAttentionConfig(AttentionConfig):
    """Softmax attention whose keys are reflected by every later token."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ_{i≤t} softmax_i(q_tᵀ H_t … H_{i+1} k_i / √K) v_i, H_t = I - β_t w_t w_tᵀ",
        decay="none",
        update="append, reflect keys",
        paper="Yang et al. 2025, arXiv:2505.16381",
    )
    grows: ClassVar[bool] = True
    takes_segments: ClassVar[bool] = True

    positions: Positions = Positions.none
    rank: int = 32
    """Rank of the map from x to w."""
    conv_width: int = 3
    """Width in tokens of the short convolution that w goes through."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.rank", self.rank, 1)
        check_at_least("mixer.conv_width", self.conv_width, 1)
        if self.positions is not Positions.none:
            raise ValueError(f"mixer.positions={self.positions.name} must be none: reflections are in its place")


class PaTHState(NamedTuple):
    """The keys, turned by all later tokens, and the values of all tokens, in arrays of `max_len` rows."""

    k: Annotated[Float[Array, "B S G K"], StateKind.cache]
    v: Annotated[Float[Array, "B S G K"], StateKind.cache]
    conv: Annotated[Float[Array, "B P E"], StateKind.convolution]
    length: Annotated[Int[Array, ""], StateKind.counter]
    """Tokens so far."""


class PaTHAttention(Attention):
    """PaTH attention; its decode state is a `PaTHState`."""

    config: PaTHAttentionConfig

    def __init__(self, config: PaTHAttentionConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        channels = config.kv_heads * self.head_dim
        self.w = LowRank(d_model, config.rank, channels, rngs=rngs)
        self.conv = CausalConv(channels, config.conv_width, use_bias=False, rngs=rngs)
        self.beta = Dense(d_model, config.kv_heads, use_bias=True, rngs=rngs)

    def __call__(self, x: Activations) -> Activations:
        q, k, v = self._project(x, jnp.arange(x.shape[1]))
        w, beta, _ = self._reflections(x, self.conv.init_state(x.shape[0], self.dtype))
        group = self.config.num_heads // self.config.kv_heads
        q, k, w, rate = (part.astype(jnp.float32) for part in (q, k, w, jnp.moveaxis(beta, 2, 1)))
        k, w = (jnp.repeat(part, group, axis=2) for part in (k, w))
        rate, visible = jnp.repeat(rate, group, axis=1), within_segment(jnp.tri(x.shape[1], dtype=bool))
        causal = visible[:, None].astype(jnp.float32)
        earlier = causal - jnp.eye(x.shape[1])

        def pairs(one: Float[Array, "B T H K"], other: Float[Array, "B T H K"]) -> Float[Array, "B H T T"]:
            return jnp.einsum("bthk,bshk->bhts", one, other)

        system = jnp.eye(x.shape[1]) + rate[..., None] * pairs(w, w) * earlier
        turned = rate[..., None] * pairs(w, k) * earlier
        solved = jax.scipy.linalg.solve_triangular(system, turned, lower=True, unit_diagonal=True)
        scores = (pairs(q, k) - (pairs(q, w) * causal) @ solved) * self.head_dim**-0.5
        shares = jax.nn.softmax(jnp.where(causal > 0, scores, -jnp.inf), axis=-1).astype(v.dtype)
        note_implementation("xla")
        return self._merge(jnp.einsum("bhts,bshk->bthk", shares, jnp.repeat(v, group, axis=2)))

    def init_state(self, batch_size: int, max_len: int) -> PaTHState:
        rows = self._rows(batch_size, max_len)
        conv = self.conv.init_state(batch_size, self.dtype)
        return PaTHState(rows, rows, conv, jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: PaTHState) -> tuple[Activations, PaTHState]:
        q, k, v = self._project(x, state.length + jnp.arange(x.shape[1]))
        w, beta, window = self._reflections(x, state.conv)
        note_implementation("xla")

        def read(
            state: PaTHState, token: tuple[Array, Array, Array, Array, Array]
        ) -> tuple[PaTHState, Float[Array, "B H K"]]:
            q, k, v, w, beta = token
            fit = jnp.einsum("bsgk,bgk->bsg", state.k.astype(jnp.float32), w)
            turned = state.k - (beta[:, None] * fit)[..., None] * w[:, None]
            here = (jnp.arange(state.k.shape[1]) == state.length)[None, :, None, None]
            keys = jnp.where(here, k[:, None], turned).astype(state.k.dtype)
            values = jnp.where(here, v[:, None], state.v).astype(state.v.dtype)
            visible = (jnp.arange(keys.shape[1]) <= state.length)[None, None, None]
            attended = jax.nn.dot_product_attention(
                q[:, None], keys.astype(q.dtype), values.astype(q.dtype), mask=visible
            )
            return PaTHState(keys, values, state.conv, state.length + 1), attended[:, 0]

        tokens = jax.tree.map(lambda part: jnp.moveaxis(part, 1, 0), (q, k, v, w, beta))
        state, attended = jax.lax.scan(read, state, tokens)
        return self._merge(jnp.moveaxis(attended, 0, 1)), state._replace(conv=window)

    def _reflections(
        self, x: Activations, conv: Float[Array, "B P E"]
    ) -> tuple[Float[Array, "B T G K"], Float[Array, "B T G"], Float[Array, "B P E"]]:
        """The unit vectors w and step sizes β, in float32, and the window of the convolution after them."""
        convolved, window = self.conv.prefill(self.w(x), conv)
        w = jax.nn.silu(convolved.astype(jnp.float32)).reshape(*x.shape[:2], -1, self.head_dim)
        return l2_normalize(w), 2 * jax.nn.sigmoid(self.beta(x).astype(jnp.float32)), window


PaTHAttentionConfig.mixer = PaTHAttention
