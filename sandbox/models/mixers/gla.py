"""Gated linear attention (Yang et al. 2023, arXiv:2312.06635, section 4).

    α_t = σ(x_t W₁ W₂ + b)^(1/τ) ,   S_t = diag(α_t) S_{t-1} + k_t v_tᵀ ,   o_t = S_tᵀ q_t / √K
    y_t = (silu(x_t W_G) ⊙ RMSNorm(o_t)) W_O

α comes through a bottleneck of 16 channels; τ = 16. Heads are normalised separately, with one scale for all, by
the RMS norm of the authors' code (the paper has a layer norm). The paper's `d_state` is d_model / (2 num_heads).
W₁ and W₂ start as in the paper's code (berlino/gated_linear_attention, `gla.py`): Xavier uniform with a gain of
2^-2.5; b = 0. So α starts near σ(0)^(1/τ) = 0.958, almost independent of the data.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.layers.dense import Dense, LowRank
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.mixer import Card, MatrixMemoryConfig, MatrixState, Mixer
from sandbox.option_checks import check_at_least
from sandbox.scans import gated_linear_attention
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class GLAConfig(MatrixMemoryConfig):
    """Linear attention in which a data-dependent gate decays each row of memory."""

    card: ClassVar[Card] = Card(
        equation="S_t = diag(α_t) S_{t-1} + k_t v_tᵀ, α_t = σ(x_t W₁ W₂ + b)^(1/τ); o_t = S_tᵀ q_t",
        decay="data-dependent, per channel",
        update="add",
        paper="Yang et al. 2023, arXiv:2312.06635",
        d_state="rows K of each head's matrix",
    )

    gate_rank: int = 16
    """Channels of the bottleneck that produces the decay."""
    gate_temperature: float = 16.0
    """τ: larger values make the memory decay more slowly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.gate_rank", self.gate_rank, 1)
        check_at_least("mixer.gate_temperature", self.gate_temperature, 1)


class GLA(Mixer):
    """Gated linear attention. Decode state: a `MatrixState`."""

    config: GLAConfig

    def __init__(self, config: GLAConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.rows, self.columns = config.d_state, d_model // config.num_heads
        keys = config.num_heads * config.d_state
        self.q = Dense(d_model, keys, rngs=rngs)
        self.k = Dense(d_model, keys, rngs=rngs)
        self.v = Dense(d_model, d_model, rngs=rngs)
        xavier = nnx.initializers.variance_scaling(2.0**-5, "fan_avg", "uniform")
        self.decay = LowRank(
            d_model, config.gate_rank, keys, use_bias=True, down_init=xavier, up_init=xavier, rngs=rngs
        )
        self.norm = RMSNorm(self.columns)
        self.gate = Dense(d_model, d_model, rngs=rngs)
        self.out = Dense(d_model, d_model, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> MatrixState:
        return MatrixState(jnp.zeros((batch_size, self.config.num_heads, self.rows, self.columns), jnp.float32))

    def prefill(self, x: Activations, state: MatrixState) -> tuple[Activations, MatrixState]:
        config, heads = self.config, (*x.shape[:2], self.config.num_heads, -1)
        q, k, v = self.q(x).reshape(heads), self.k(x).reshape(heads), self.v(x).reshape(heads)
        log_decay = jax.nn.log_sigmoid(self.decay(x).astype(jnp.float32)).reshape(heads) / config.gate_temperature
        read, memory = gated_linear_attention(
            q * config.d_state**-0.5, k, v, log_decay, initial_state=state.memory, **config.scan_options
        )
        return self.out(jax.nn.silu(self.gate(x)) * self.norm(read).reshape(x.shape)), MatrixState(memory)


GLAConfig.mixer = GLA
