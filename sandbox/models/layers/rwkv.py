"""Time mixing of RWKV-5 and 6, and initial values, state and group norm that RWKV-7 shares.

    S_t = diag(γ_t) S_{t-1} + k_t v_tᵀ                                  γ_t [H, K], fixed or data-dependent
    o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t                             per head
    y_t = (silu(g_t) ⊙ GroupNorm(o_t)) W_o                              r, k [B, T, H, K]  v, g [B, T, H, V]

Group norm normalises each head separately with ε = 1e-5 K. At the official K = V = 64 this equals the official
code, which divides o_t by 8 and has ε = 1e-5. Here K is free, and V = D / H.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import LayerNorm
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.layers.token_shift import HALFWAY, ShiftedState, TokenShift, previous_share
from sandbox.models.mixer import MatrixMemoryConfig, Mixer
from sandbox.scans import gated_linear_attention
from sandbox.shapes import Activations


class BonusTimeMixing(Mixer):
    """Time mixing of RWKV-5; RWKV-6 overrides token shift and decays. Decode state: a `ShiftedState`."""

    config: MatrixMemoryConfig
    shift: TokenShift

    def __init__(self, config: MatrixMemoryConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
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
        self.decay = NoWeightDecay(jnp.asarray(decay, jnp.float32).reshape(heads, rows))
        bonus = HALFWAY * (1 - channels) + 0.1 * ((np.arange(heads * rows) + 1) % 3 - 1)
        self.bonus = NoWeightDecay(jnp.asarray(bonus, jnp.float32).reshape(heads, rows))
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
        """log γ, from the mixtures of the token shift after the first four, of which RWKV-5 has none."""
        return -jnp.exp(self.decay[...])


def initial_shares(d_model: int) -> list[np.ndarray]:
    """Initial shares of the previous token in receptance, keys, values and gate."""
    receptance, keys = previous_share(d_model, 0.5), previous_share(d_model)
    return [receptance, keys, keys - 0.3 * HALFWAY, receptance]


def empty_state(batch_size: int, heads: int, rows: int, columns: int, dtype: DTypeLike) -> ShiftedState:
    """The empty decode state."""
    return ShiftedState(
        memory=jnp.zeros((batch_size, heads, rows, columns), jnp.float32),
        last_token=jnp.zeros((batch_size, heads * columns), dtype),
    )


def group_norm(heads: int, rows: int, columns: int) -> LayerNorm:
    """Group norm over heads, with the initial scale of a layer at `HALFWAY`."""
    norm = LayerNorm((heads, columns), epsilon=1e-5 * rows)
    norm.scale = NoWeightDecay(jnp.full((heads, columns), HALFWAY**0.7, jnp.float32))
    return norm
