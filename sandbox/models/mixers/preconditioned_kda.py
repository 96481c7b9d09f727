"""Preconditioned Kimi Delta Attention (arXiv:2604.21100): keys that are written as strongly as they are rare.

    A_t = exp(g_t) A_{t-1} + b_t k_t ⊙ k_t                     [K], what was written to each row so far
    r_t = log(A_t + 1e-6) - c ,   k̃_t = x^(-r_t / (1 + |r_t|)) ⊙ k_t ,   x = 1.5
    S_t = diag(α_t) S_{t-1} + β_t k̃_t (v_t - (diag(α_t) S_{t-1})ᵀ k_t)ᵀ ,   o_t = S_tᵀ q_t

Kimi Delta Attention whose key for writing is scaled, row by row, by a factor between 1/x and x: less where much
was written. g = -exp(a) softplus(x_t W + b_Δ) and b = σ(x_t W_b) are numbers per head, as is c, which starts at
-0.2. The rest is in `layers/delta_rule.py`, where the step sizes of α start log-uniform; flash-linear-attention
has zeros here.
"""

import dataclasses
import math
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import ChannelDecayConfig, ChannelDecayDeltaRule, DeltaRuleState
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.gates import step_size_decay
from sandbox.models.layers.parameters import NoWeightDecay, step_size_bias
from sandbox.models.mixer import Card
from sandbox.models.segments import open_segments
from sandbox.scans import diagonal_scan, generalized_delta_rule
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values

_LARGEST, _TINY = 1.5, 1e-6


@dataclasses.dataclass(unsafe_hash=True)
class PreconditionedKDAConfig(ChannelDecayConfig):
    """The delta rule on decaying rows, whose writing keys are scaled by what each row has received."""

    card: ClassVar[Card] = Card(
        equation="S_t = (I - β_t k̃_t k_tᵀ) diag(α_t) S_{t-1} + β_t k̃_t v_tᵀ, k̃ = k scaled by row; o_t = S_tᵀ q_t",
        decay="data-dependent, per channel",
        update="delta rule, preconditioned",
        paper="arXiv:2604.21100",
        d_state="rows K of each head's matrix",
    )


class PreconditionedMemory(NamedTuple):
    """The matrix of each head, and what each of its rows has received."""

    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]
    received: Annotated[Float[Array, "B H K"], StateKind.normaliser]


class PreconditionedKDA(ChannelDecayDeltaRule):
    """Preconditioned Kimi Delta Attention. Decode state: a `DeltaRuleState` of a `PreconditionedMemory`."""

    def __init__(self, config: PreconditionedKDAConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        heads = config.num_heads
        self.received_dt = Dense(d_model, heads, rngs=rngs)
        self.received_dt_bias = NoWeightDecay(step_size_bias(rngs.params(), heads))
        rates = jax.random.uniform(rngs.params(), (heads,), jnp.float32, 0.01, 16.0)
        self.received_log_rates = NoWeightDecay(jnp.log(rates))
        self.received_beta = Dense(d_model, heads, rngs=rngs)
        self.usual = NoWeightDecay(jnp.full((heads,), -0.2, jnp.float32))

    def init_state(self, batch_size: int, max_len: int) -> DeltaRuleState:
        state = super().init_state(batch_size, max_len)
        received = jnp.zeros((batch_size, self.config.num_heads, self.rows), jnp.float32)
        return state._replace(memory=PreconditionedMemory(state.memory, received))

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T I"], memory: PreconditionedMemory
    ) -> tuple[Float[Array, "B T H V"], Any]:
        q, k, v = self._split(qkv)
        v = tap_values(v)
        k, log_decay = self._unit_vectors(k).astype(jnp.float32), self._log_decay(x)
        share = jax.nn.sigmoid(self.received_beta(x).astype(jnp.float32))[..., None]
        kept = step_size_decay(self.received_dt(x), self.received_dt_bias[...], self.received_log_rates[...])
        decay = jnp.broadcast_to(jnp.exp(kept)[..., None], k.shape)
        received, last = diagonal_scan(
            decay, share * k * k, initial_state=memory.received, segment_ids=open_segments()
        )
        above = jnp.log(received + _TINY) - self.usual[...][:, None]
        scaled = jnp.exp(-math.log(_LARGEST) * above / (1 + jnp.abs(above))) * k
        written = (self._beta(x)[..., None] * scaled).astype(v.dtype)
        read, matrix = generalized_delta_rule(
            self._unit_vectors(q) * self.rows**-0.5,
            written,
            v,
            a=-(k * jnp.exp(log_decay)).astype(v.dtype),
            b=written,
            log_decay=log_decay,
            initial_state=memory.memory,
            **self.config.scan_options,
        )
        return tap_read(read), PreconditionedMemory(matrix, last)


PreconditionedKDAConfig.mixer = PreconditionedKDA
