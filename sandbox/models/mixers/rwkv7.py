"""Time mixing of RWKV-7, "Goose" (Peng et al. 2025, arXiv:2503.14456, section 4).

    r_t, k_t, v_t = x^r_t W_r, x^k_t W_k, x^v_t W_v                     x^i: the token shift
    γ_t = exp(-e^(-1/2) σ(d + tanh(x^d_t A_d) B_d))                     decay [B, T, H, K], in 0.545..1
    a_t = σ(c + x^a_t A_a B_a)                                          in-context learning rate [B, T, H, K]
    g_t = σ(x^g_t A_g) B_g                                              gate [B, T, H, V]
    κ̂_t = k_t ⊙ ξ / |k_t ⊙ ξ| ,  k̃_t = k_t ⊙ (1 + (a_t - 1) ⊙ α)        keys for removing and writing, per head
    S_t = (diag(γ_t) - (κ̂_t ⊙ a_t) κ̂_tᵀ) S_{t-1} + k̃_t v_tᵀ             S [B, H, K, V]
    y_t = (g_t ⊙ (GroupNorm(S_tᵀ r_t) + (r_tᵀ (ρ ⊙ k̃_t)) v_t)) W_o

This is the first layer of the paper's model. Later layers mix their values with those of the first one; this value
residual is left out, because a mixer sees only its own input.

Initial values are those of a middle layer (see `token_shift`) in the official code
(`RWKV-v7/train_temp/src/model.py`, with the orthogonal projections of `generate_init_weight`), over the H · K
channels of the keys. Group norm is that of `rwkv5`; the code also has ε = 64e-5 for heads of width 64.
"""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.layers.dense import Dense, LowRank
from sandbox.models.layers.gates import biased_logits
from sandbox.models.layers.norms import l2_normalize
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.layers.rwkv import empty_state, group_norm
from sandbox.models.layers.token_shift import HALFWAY, ShiftedState, TokenShift, previous_share
from sandbox.models.mixer import Card, MatrixMemoryConfig, Mixer
from sandbox.option_checks import check_at_least
from sandbox.scans import generalized_delta_rule
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class RWKV7Config(MatrixMemoryConfig):
    """Options of RWKV-7: a matrix memory that removes part of what a key recalls, per channel, before writing."""

    card: ClassVar[Card] = Card(
        equation="S_t = (diag(γ_t) - (κ̂_t ⊙ a_t) κ̂_tᵀ) S_{t-1} + k̃_t v_tᵀ; o_t = S_tᵀ r_t",
        decay="data-dependent, per channel",
        update="generalised delta rule",
        paper="Peng et al. 2025, arXiv:2503.14456",
        d_state="rows K of each head's matrix",
    )

    decay_rank: int = 32
    """Rank of the map from the data to the decays; the official code uses at least 32."""
    rate_rank: int = 32
    """Rank of the map from the data to the learning rates."""
    gate_rank: int = 32
    """Rank of the map from the data to the output gate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.decay_rank", self.decay_rank, 1)
        check_at_least("mixer.rate_rank", self.rate_rank, 1)
        check_at_least("mixer.gate_rank", self.gate_rank, 1)


class RWKV7(Mixer):
    """The time mixing of RWKV-7; its decode state is a `ShiftedState`."""

    config: RWKV7Config

    def __init__(self, config: RWKV7Config, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        heads, rows = config.num_heads, config.d_state
        keys = heads * rows
        self.rows, self.columns = rows, d_model // heads
        # For receptance, keys, values, gate, decays and learning rates.
        exponents = (0.2, 0.7, 0.7, 0.2, 0.9, 0.9)
        self.shift = TokenShift(*(previous_share(d_model, exponent) for exponent in exponents))
        orthogonal = nnx.initializers.orthogonal
        self.r = Dense(d_model, keys, kernel_init=orthogonal(), rngs=rngs)
        self.k = Dense(d_model, keys, kernel_init=orthogonal(0.1), rngs=rngs)
        self.v = Dense(d_model, d_model, kernel_init=orthogonal(), rngs=rngs)
        self.out = Dense(d_model, d_model, rngs=rngs)

        def low_rank(rank, d_out, activation):
            return LowRank(
                d_model,
                rank,
                d_out,
                activation=activation,
                down_init=nnx.initializers.zeros,
                up_init=orthogonal(0.1 * max(1, rank / d_out) ** 0.5),
                rngs=rngs,
            )

        self.decay_from_x = low_rank(config.decay_rank, keys, jnp.tanh)
        self.rate_from_x = low_rank(config.rate_rank, keys, None)
        self.gate = low_rank(config.gate_rank, d_model, jax.nn.sigmoid)
        channels = np.linspace(0, 1, keys)
        within_head = np.tile(np.linspace(-1, 1, rows), heads)
        zigzag, centred = within_head * np.abs(within_head), channels - 0.5

        def per_row(values):
            return NoWeightDecay(jnp.asarray(values, jnp.float32).reshape(heads, rows))

        self.decay = per_row(-5.5 + 6 * channels ** (1 + HALFWAY**0.3) + 2.5 * zigzag)
        self.rate = per_row(-0.19 + 0.3 * zigzag + 0.4 * centred)
        self.removal = per_row(0.71 - 0.1 * centred)
        self.replacement = per_row(np.full(keys, 1.02))
        self.bonus = per_row(np.full(keys, -0.04))
        self.norm = group_norm(heads, rows, self.columns)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> ShiftedState:
        return empty_state(batch_size, self.config.num_heads, self.rows, self.columns, self.dtype)

    def prefill(self, x: Activations, state: ShiftedState) -> tuple[Activations, ShiftedState]:
        (xr, xk, xv, xg, xd, xa), last_token = self.shift(x, state.last_token)
        heads = (*x.shape[:2], self.config.num_heads, -1)
        r, k, v = self.r(xr).reshape(heads), self.k(xk).reshape(heads), self.v(xv).reshape(heads)
        log_decay = -math.exp(-0.5) * jax.nn.sigmoid(biased_logits(self.decay_from_x(xd), self.decay))
        rate = jax.nn.sigmoid(biased_logits(self.rate_from_x(xa), self.rate))

        removed = l2_normalize(k * self.removal[...].astype(k.dtype), epsilon=1e-12)
        k = k * (1 + (rate - 1) * self.replacement[...].astype(rate.dtype)).astype(k.dtype)
        read, memory = generalized_delta_rule(
            r,
            k,
            v,
            a=-removed,
            b=removed * rate.astype(k.dtype),
            log_decay=log_decay,
            initial_state=state.memory,
            **self.config.scan_options,
        )
        now = jnp.sum(r * k * self.bonus[...].astype(k.dtype), axis=-1, keepdims=True) * v
        y = self.gate(xg) * (self.norm(read) + now).reshape(x.shape)
        return self.out(y), ShiftedState(memory, last_token)


RWKV7Config.mixer = RWKV7
