"""Forgetting attention, FoX (Lin et al. 2025, arXiv:2503.02130): softmax attention with a forget gate.

    f_t = σ(x_t W_f + b_f)                                     per head
    o_t = Σ_{i≤t} softmax_i(q_t·k_i / √K + Σ_{i<s≤t} log f_s) v_i

Attention whose scores fall with every token that the gate forgets, in place of an encoding of positions. b_f
starts at 0. `pro` is the paper's larger block: keys and values shift (k_t = a_t x_{t-1} W_k + (1 - a_t) x_t
W_k, a_t = σ(x_t W) per head, values likewise), q and k are RMS-normalised, and the output is RMSNorm(o_t) ⊙
σ(x_t W_g) per head.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers.attention import Attention, AttentionConfig, Positions
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.mixer import Card
from sandbox.models.segments import token_before, within_segment
from sandbox.ran import note_implementation
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read


@dataclasses.dataclass(unsafe_hash=True)
class FoXConfig(AttentionConfig):
    """Softmax attention with a forget gate, whose keys and values are all kept."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ_{i≤t} softmax_i(q_t·k_i / √K + Σ_{i<s≤t} log f_s) v_i",
        decay="data-dependent, per head",
        update="append",
        paper="Lin et al. 2025, arXiv:2503.02130",
    )
    grows: ClassVar[bool] = True
    takes_segments: ClassVar[bool] = True

    positions: Positions = Positions.none
    pro: bool = False
    """Use the paper's "Pro" block: keys and values shift, queries and keys are normalised, the output is gated."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positions is not Positions.none:
            raise ValueError(f"mixer.positions={self.positions.name} must be none: the gate says what is near")


class FoXState(NamedTuple):
    """The keys and values of all tokens so far, and the sums of their log gates, in arrays of `max_len` rows."""

    k: Annotated[Float[Array, "B S G K"], StateKind.cache]
    v: Annotated[Float[Array, "B S G K"], StateKind.cache]
    kept: Annotated[Float[Array, "B S H"], StateKind.cache]
    """Σ_{s≤t} log f_s."""
    last_k: Annotated[Float[Array, "B 1 G K"], StateKind.token_shift] | None
    last_v: Annotated[Float[Array, "B 1 G K"], StateKind.token_shift] | None
    length: Annotated[Int[Array, ""], StateKind.counter]
    """Tokens so far."""


class FoX(Attention):
    """Forgetting attention. Decode state: a `FoXState`."""

    config: FoXConfig

    def __init__(self, config: FoXConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        self.forget = Dense(d_model, config.num_heads, use_bias=True, rngs=rngs)
        shifts, norms, gate = None, None, None
        if config.pro:
            shifts = nnx.List([Dense(d_model, config.kv_heads, rngs=rngs) for _ in range(2)])
            norms = nnx.List([RMSNorm(self.head_dim, epsilon=1e-5) for _ in range(3)])
            gate = Dense(d_model, d_model, rngs=rngs)
        self.shifts, self.norms, self.gate = shifts, norms, gate

    def init_state(self, batch_size: int, max_len: int) -> FoXState:
        rows = self._rows(batch_size, max_len)
        last = self._rows(batch_size, 1) if self.config.pro else None
        kept = jnp.zeros((batch_size, max_len, self.config.num_heads), jnp.float32)
        return FoXState(rows, rows, kept, last, last, jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: FoXState) -> tuple[Activations, FoXState]:
        start, length = state.length, x.shape[1]
        q, k, v = self._project(x, start + jnp.arange(length))
        last_k, last_v = state.last_k, state.last_v
        if self.shifts is not None and self.norms is not None and last_k is not None and last_v is not None:
            k, last_k = _shift(k, last_k, self.shifts[0](x))
            v, last_v = _shift(v, last_v, self.shifts[1](x))
            q, k = self.norms[0](q), self.norms[1](k)
        log_gates = jax.nn.log_sigmoid(self.forget(x).astype(jnp.float32))
        before = jnp.where(start > 0, state.kept[:, jnp.maximum(start - 1, 0)], 0)
        kept = before[:, None] + jnp.cumsum(log_gates, axis=1)
        k_cache, v_cache = (
            jax.lax.dynamic_update_slice(old, new.astype(old.dtype), (0, start, 0, 0))
            for old, new in ((state.k, k), (state.v, v))
        )
        all_kept = jax.lax.dynamic_update_slice(state.kept, kept, (0, start, 0))
        visible = jnp.arange(k_cache.shape[1]) <= start + jnp.arange(length)[:, None]
        since = jnp.moveaxis(kept, 2, 1)[..., None] - jnp.moveaxis(all_kept, 2, 1)[:, :, None]
        note_implementation("xla")
        attended = jax.nn.dot_product_attention(
            q, k_cache.astype(q.dtype), v_cache.astype(q.dtype), bias=since, mask=within_segment(visible)[:, None]
        )
        return self._gated(x, tap_read(attended)), FoXState(
            k_cache, v_cache, all_kept, last_k, last_v, start + length
        )

    def _gated(self, x: Activations, attended: Float[Array, "B T H K"]) -> Activations:
        if self.norms is None or self.gate is None:
            return self.out(attended.reshape(x.shape))
        return self.out(self.norms[2](attended).reshape(x.shape) * jax.nn.sigmoid(self.gate(x)))


def _shift(
    new: Float[Array, "B T G K"], last: Float[Array, "B 1 G K"], logits: Float[Array, "B T G"]
) -> tuple[Float[Array, "B T G K"], Float[Array, "B 1 G K"]]:
    """Mixes each token's keys or values with those of the token before, and returns the last unmixed ones."""
    share = jax.nn.sigmoid(logits)[..., None]
    return share * token_before(new, last[:, 0]) + (1 - share) * new, new[:, -1:].astype(last.dtype)


FoXConfig.mixer = FoX
