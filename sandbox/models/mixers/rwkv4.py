"""Time mixing of RWKV-4 (Peng et al. 2023, arXiv:2305.13048, section 3.1).

    r_t, k_t, v_t = x^r_t W_r, x^k_t W_k, x^v_t W_v       x^i: the token shift;  r, k, v, wkv [B, T, E]
    wkv_t = Σ_{i<=t} c_i v_i / Σ_{i<=t} c_i               c_i = exp(-(t-1-i) w + k_i), c_t = exp(u + k_t)
    y_t = (σ(r_t) ⊙ wkv_t) W_o

w = exp(decay) > 0 and the bonus u are per channel. Initial values are those of a middle layer (see `token_shift`)
in the official code (`RWKV-v4/src/model.py`): decay, bonus, token shift, W_k = W_r = 0, and an orthogonal W_v.
"""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.layers.token_shift import HALFWAY, ShiftedState, TokenShift, previous_share
from sandbox.models.mixer import Card, Mixer, ScanConfig, UnitsConfig
from sandbox.scans import NOTHING_YET, WKV4State, wkv4
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class RWKV4Config(UnitsConfig, ScanConfig):
    """Options of RWKV-4: a running average of values, weighted by exponentials of keys that decay with age."""

    card: ClassVar[Card] = Card(
        equation="y_t = σ(r_t) ⊙ Σ_i c_i v_i / Σ_i c_i, c_i = exp(-(t-1-i) w + k_i), c_t = exp(u + k_t)",
        decay="learned, per channel",
        update="add, by an exponential gate",
        paper="Peng et al. 2023, arXiv:2305.13048",
        d_state="channels N of the memory",
    )


class RWKV4(Mixer):
    """The time mixing of RWKV-4; its decode state is a `ShiftedState` with a `WKV4State` as its memory."""

    config: RWKV4Config

    def __init__(self, config: RWKV4Config, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.channels = channels = config.units(d_model)
        values = previous_share(d_model) - 0.3 * HALFWAY
        self.shift = TokenShift(previous_share(d_model, 0.5), previous_share(d_model), values)
        zeros, orthogonal = nnx.initializers.zeros, nnx.initializers.orthogonal(max(1, channels / d_model) ** 0.5)
        self.r = Dense(d_model, channels, kernel_init=zeros, rngs=rngs)
        self.k = Dense(d_model, channels, kernel_init=zeros, rngs=rngs)
        self.v = Dense(d_model, channels, kernel_init=orthogonal, rngs=rngs)
        self.out = Dense(channels, d_model, rngs=rngs)
        decay = -5 + 8 * np.linspace(0, 1, channels) ** (0.7 + 1.3 * HALFWAY)
        self.decay = NoWeightDecay(jnp.asarray(decay, jnp.float32))
        bonus = math.log(0.3) + 0.5 * ((np.arange(channels) + 1) % 3 - 1)
        self.bonus = NoWeightDecay(jnp.asarray(bonus, jnp.float32))
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> ShiftedState:
        zeros = jnp.zeros((batch_size, self.channels), jnp.float32)
        return ShiftedState(
            memory=WKV4State(zeros, zeros, jnp.full_like(zeros, NOTHING_YET)),
            last_token=jnp.zeros((batch_size, self.shift.shares.shape[1]), self.dtype),
        )

    def prefill(self, x: Activations, state: ShiftedState) -> tuple[Activations, ShiftedState]:
        (xr, xk, xv), last_token = self.shift(x, state.last_token)
        average, memory = wkv4(
            self.k(xk),
            self.v(xv),
            jnp.exp(self.decay[...]),
            self.bonus[...],
            initial_state=state.memory,
            **self.config.scan_options,
        )
        return self.out(jax.nn.sigmoid(self.r(xr)) * average), ShiftedState(memory, last_token)


RWKV4Config.mixer = RWKV4
