"""Softmax attention (Vaswani et al. 2017), with grouped key/value heads (Ainslie et al. 2023)."""

import dataclasses
import enum
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers import Dense
from sandbox.models.mixer import Card, Mixer, MixerConfig, check_at_least, check_divides
from sandbox.models.positions import rotate
from sandbox.shapes import Activations


class Positions(enum.Enum):
    """How attention learns where a token stands."""

    none = "none"
    rope = "rope"
    learned = "learned"


@dataclasses.dataclass(unsafe_hash=True)
class SoftmaxConfig(MixerConfig):
    """o_t = Σ_{i≤t} softmax_i(q_t·k_i / √K) v_i per head; memory grows with every token."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ_{i≤t} softmax_i(q_t·k_i / √K) v_i",
        decay="none",
        update="append",
        paper="Vaswani et al. 2017, arXiv:1706.03762",
    )
    grows: ClassVar[bool] = True

    num_heads: int = 1
    num_kv_heads: int | None = None
    """Heads of keys and values, shared by groups of query heads. None: as many as `num_heads`."""
    positions: Positions = Positions.none
    max_positions: int = 2048
    """Rows of the table of learned positions; longer sequences are refused."""

    def __post_init__(self) -> None:
        check_at_least("mixer.num_heads", self.num_heads, 1)
        check_at_least("mixer.num_kv_heads", self.kv_heads, 1)
        check_at_least("mixer.max_positions", self.max_positions, 1)
        check_divides("mixer.num_kv_heads", self.kv_heads, "mixer.num_heads", self.num_heads)

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    def check(self, d_model: int) -> None:
        """Heads divide the width; rotary positions pair channels."""
        check_divides("mixer.num_heads", self.num_heads, "model.d_model", d_model)
        if self.positions is Positions.rope:
            check_divides(
                "2 · mixer.num_heads (rope pairs channels)", 2 * self.num_heads, "model.d_model", d_model
            )

    def make(self, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Mixer:
        """A mixer of width `d_model`."""
        self.check(d_model)
        return Softmax(self, d_model, rngs=rngs, dtype=dtype)


class KVCache(NamedTuple):
    """The keys and values of all tokens so far; `max_len` rows are set aside from the start."""

    k: Float[Array, "B S G K"]
    v: Float[Array, "B S G K"]
    length: Int[Array, ""]
    """Rows in use."""


class Softmax(Mixer):
    """See `SoftmaxConfig`. Decode state: a `KVCache` of `max_len` rows."""

    def __init__(self, config: SoftmaxConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.head_dim = d_model // config.num_heads
        self.q = Dense(d_model, d_model, rngs=rngs)
        self.k = Dense(d_model, config.kv_heads * self.head_dim, rngs=rngs)
        self.v = Dense(d_model, config.kv_heads * self.head_dim, rngs=rngs)
        self.out = Dense(d_model, d_model, rngs=rngs)
        table = None
        if config.positions is Positions.learned:
            shape = (config.max_positions, d_model)
            table = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), shape, jnp.float32))
        self.position_table = table
        self.dtype = dtype

    def __call__(self, x: Activations) -> Activations:
        self._check_length(x.shape[1])
        q, k, v = self._project(x, jnp.arange(x.shape[1]))
        return self._merge(jax.nn.dot_product_attention(q, k, v, is_causal=True))

    def init_state(self, batch_size: int, max_len: int) -> KVCache:
        self._check_length(max_len)
        rows = jnp.zeros((batch_size, max_len, self.config.kv_heads, self.head_dim), self.dtype)
        return KVCache(k=rows, v=rows, length=jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: KVCache) -> tuple[Activations, KVCache]:
        positions = state.length + jnp.arange(x.shape[1])
        q, k, v = self._project(x, positions)
        start = (0, state.length, 0, 0)
        keys = jax.lax.dynamic_update_slice(state.k, k.astype(state.k.dtype), start)
        values = jax.lax.dynamic_update_slice(state.v, v.astype(state.v.dtype), start)
        visible = jnp.arange(keys.shape[1])[None, :] <= positions[:, None]
        attended = jax.nn.dot_product_attention(
            q, keys.astype(q.dtype), values.astype(q.dtype), mask=visible[None, None]
        )
        return self._merge(attended), KVCache(keys, values, state.length + x.shape[1])

    def _project(
        self, x: Activations, positions: Int[Array, "T"]
    ) -> tuple[Float[Array, "B T H K"], Float[Array, "B T G K"], Float[Array, "B T G K"]]:
        if self.position_table is not None:
            learned = self.position_table[...][positions].astype(x.dtype)
            x = x + jnp.broadcast_to(learned[None], x.shape)
        heads = (*x.shape[:2], -1, self.head_dim)
        q, k, v = self.q(x).reshape(heads), self.k(x).reshape(heads), self.v(x).reshape(heads)
        if self.config.positions is Positions.rope:
            q, k = rotate(q, positions), rotate(k, positions)
        return q, k, v

    def _merge(self, attended: Float[Array, "B T H K"]) -> Activations:
        return self.out(attended.reshape(*attended.shape[:2], -1))

    def _check_length(self, length: int) -> None:
        if self.position_table is not None and length > self.config.max_positions:
            raise ValueError(
                f"mixer.max_positions={self.config.max_positions} is the longest sequence that learned "
                f"positions allow, got {length} tokens"
            )
