"""Time mixing of RWKV-5, "Eagle" (Peng et al. 2024, arXiv:2404.05892, section 4.1).

    r_t, k_t, v_t, g_t = x^r_t W_r, x^k_t W_k, x^v_t W_v, x^g_t W_g     x^i: the token shift
    S_t = diag(γ) S_{t-1} + k_t v_tᵀ                                    γ = exp(-exp(decay)), [H, K]
    o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t                             per head
    y_t = (silu(g_t) ⊙ GroupNorm(o_t)) W_o                              r, k [B, T, H, K]  v, g [B, T, H, V]

Group norm treats each head by itself, with ε = 1e-5 K: what the official code comes to at its heads of K = V = 64,
which divides what is read by 8 and takes ε = 1e-5. Here K is free, and V is D / H.

Initial values are those of the official code (`RWKV-v5/src/model.py`, x052), at a layer halfway up (see
`token_shift`): orthogonal projections, those of keys and gate a tenth as large. Where the code runs over
the channels of all heads, it does so here over the H · K of the keys.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers import Dense, LayerNorm, Undecayed
from sandbox.models.mixer import Card, MatrixMemoryConfig, Mixer, ScanMixer
from sandbox.models.token_shift import HALFWAY, ShiftedState, TokenShift, previous_share
from sandbox.scans import gated_linear_attention
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class RWKV5Config(MatrixMemoryConfig):
    """A matrix memory that is read before the token is written, whose decays are learned and fixed over time."""

    card: ClassVar[Card] = Card(
        equation="S_t = diag(γ) S_{t-1} + k_t v_tᵀ; o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t",
        decay="learned, per channel",
        update="add",
        paper="Peng et al. 2024, arXiv:2404.05892",
    )

    d_state: int = 16
    """Rows of memory that a head keeps: channels of its receptance and keys. The paper ties them to V."""

    def make(self, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Mixer:
        """A mixer of width `d_model`."""
        self.check(d_model)
        return RWKV5(self, d_model, rngs=rngs, dtype=dtype)


class RWKV5(ScanMixer):
    """See the module's docstring. Decode state: the memory `[B, H, K, V]` in float32, and the last token."""

    config: RWKV5Config
    rule = "gated_linear_attention"
    shift: TokenShift

    def __init__(self, config: RWKV5Config, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        heads, rows = config.num_heads, config.d_state
        self.rows, self.columns = rows, d_model // heads
        self.shift = TokenShift(*initial_shares(d_model))
        orthogonal = nnx.initializers.orthogonal
        self.r = Dense(d_model, heads * rows, kernel_init=orthogonal(), rngs=rngs)
        self.k = Dense(d_model, heads * rows, kernel_init=orthogonal(0.1), rngs=rngs)
        self.v = Dense(d_model, d_model, kernel_init=orthogonal(), rngs=rngs)
        self.gate = Dense(d_model, d_model, kernel_init=orthogonal(0.1), rngs=rngs)
        self.out = Dense(d_model, d_model, rngs=rngs)
        channels = np.linspace(0, 1, heads * rows)
        decay = -6 + 5 * channels ** (0.7 + 1.3 * HALFWAY)
        self.decay = Undecayed(jnp.asarray(decay, jnp.float32).reshape(heads, rows))
        bonus = HALFWAY * (1 - channels) + 0.1 * ((np.arange(heads * rows) + 1) % 3 - 1)
        self.bonus = Undecayed(jnp.asarray(bonus, jnp.float32).reshape(heads, rows))
        self.norm = group_norm(heads, rows, self.columns)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> ShiftedState:
        return empty_state(batch_size, self.config.num_heads, self.rows, self.columns, self.dtype)

    def prefill(self, x: Activations, state: ShiftedState) -> tuple[Activations, ShiftedState]:
        (xr, xk, xv, xg, *others), last_token = self.shift(x, state.last_token)
        heads = (*x.shape[:2], self.config.num_heads, -1)
        read, memory = gated_linear_attention(
            self.r(xr).reshape(heads),
            self.k(xk).reshape(heads),
            self.v(xv).reshape(heads),
            self._log_decay(others),
            self.bonus[...],
            initial_state=state.memory,
            **self.config.scan_options,
        )
        y = jax.nn.silu(self.gate(xg)) * self.norm(read).reshape(x.shape)
        return self.out(y), ShiftedState(memory, last_token)

    def _log_decay(self, others: list[Activations]) -> Float[Array, "H K"] | Float[Array, "B T H K"]:
        """From the mixtures of the token shift after the first four: RWKV-5 has none."""
        return -jnp.exp(self.decay[...])


def initial_shares(d_model: int) -> list[np.ndarray]:
    """Shares of the token before in receptance, keys, values and gate, at the start."""
    receptance, keys = previous_share(d_model, 0.5), previous_share(d_model)
    return [receptance, keys, keys - 0.3 * HALFWAY, receptance]


def empty_state(batch_size: int, heads: int, rows: int, columns: int, dtype: DTypeLike) -> ShiftedState:
    """Empty matrices, and zeros before the first token."""
    return ShiftedState(
        memory=jnp.zeros((batch_size, heads, rows, columns), jnp.float32),
        last_token=jnp.zeros((batch_size, heads * columns), dtype),
    )


def group_norm(heads: int, rows: int, columns: int) -> LayerNorm:
    """Of what each head reads, with the scale of a layer halfway up at the start."""
    norm = LayerNorm((heads, columns), epsilon=1e-5 * rows)
    norm.scale = Undecayed(jnp.full((heads, columns), HALFWAY**0.7, jnp.float32))
    return norm
