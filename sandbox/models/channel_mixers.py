"""Maps over the channels of a token, which may follow the sequence mixer in a layer.

They follow the contract of a `Mixer` because RWKV's carry the previous token.
"""

import enum
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.token_shift import TokenShift, previous_share
from sandbox.models.mixer import Mixer
from sandbox.shapes import Activations, Token
from sandbox.state_kinds import StateKind


class ChannelMixer(enum.Enum):
    """The choices of `model.channel_mixer`."""

    none = "none"
    mlp = "mlp"
    swiglu = "swiglu"
    rwkv4 = "rwkv4"
    rwkv5 = "rwkv5"
    rwkv6 = "rwkv6"
    rwkv7 = "rwkv7"


class Pointwise(Mixer):
    """A map of each token separately, without a decode state. Subclasses define `__call__`."""

    def init_state(self, batch_size: int, max_len: int) -> None:
        return None

    def prefill(self, x: Activations, state: None) -> tuple[Activations, None]:
        return self(x), None


class MLP(Pointwise):
    """y = gelu(x W₁) W₂, with 4 D hidden channels."""

    def __init__(self, d_model: int, *, rngs: nnx.Rngs):
        self.up = Dense(d_model, 4 * d_model, rngs=rngs)
        self.down = Dense(4 * d_model, d_model, rngs=rngs)

    def __call__(self, x: Activations) -> Activations:
        return self.down(jax.nn.gelu(self.up(x)))

    @property
    def output_projection(self) -> Dense:
        return self.down


class SwiGLU(Pointwise):
    """y = (silu(x W₁) ⊙ x W₂) W₃ (Shazeer 2020), with 8/3 D hidden channels, for as many parameters as `MLP`."""

    def __init__(self, d_model: int, *, rngs: nnx.Rngs):
        inner = 8 * d_model // 3
        self.gate = Dense(d_model, inner, rngs=rngs)
        self.up = Dense(d_model, inner, rngs=rngs)
        self.down = Dense(inner, d_model, rngs=rngs)

    def __call__(self, x: Activations) -> Activations:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))

    @property
    def output_projection(self) -> Dense:
        return self.down


class LastToken(NamedTuple):
    """The last input."""

    last_token: Annotated[Token, StateKind.token_shift]


class RWKVChannelMixer(Mixer):
    """y_t = σ(x^r_t W_r) ⊙ (relu(x^k_t W_k)² W_v): channel mixing of RWKV-4 to 6. RWKV-7 has no receptance W_r.

    x^i is the token shift; `previous_share` explains `exponent`. Decode state: a `LastToken`. As in the official
    code, W_k starts orthogonal, W_r and W_v at zero. Unlike there, `inner` need not be a multiple of 32.
    Sources: arXiv:2305.13048, section 3.1; arXiv:2404.05892, section 4.1; arXiv:2503.14456, section 4.
    """

    def __init__(
        self,
        d_model: int,
        inner: int,
        *,
        exponent: float = 1.0,
        gain: float = 1.0,
        use_receptance: bool = True,
        rngs: nnx.Rngs,
        dtype: DTypeLike,
    ):
        zeros = nnx.initializers.zeros
        self.shift = TokenShift(*[previous_share(d_model, exponent)] * (1 + use_receptance))
        self.k = Dense(d_model, inner, kernel_init=nnx.initializers.orthogonal(gain), rngs=rngs)
        self.v = Dense(inner, d_model, kernel_init=zeros, rngs=rngs)
        self.r = Dense(d_model, d_model, kernel_init=zeros, rngs=rngs) if use_receptance else None
        self.d_model, self.dtype = d_model, dtype

    @property
    def output_projection(self) -> Dense:
        return self.v

    def init_state(self, batch_size: int, max_len: int) -> LastToken:
        return LastToken(jnp.zeros((batch_size, self.d_model), self.dtype))

    def prefill(self, x: Activations, state: LastToken) -> tuple[Activations, LastToken]:
        (xk, *xr), last_token = self.shift(x, state.last_token)
        y = self.v(jnp.square(jax.nn.relu(self.k(xk))))
        return y if self.r is None else jax.nn.sigmoid(self.r(*xr)) * y, LastToken(last_token)


def make_channel_mixer(kind: ChannelMixer, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike) -> Mixer | None:
    """A channel mixer of width `d_model`. None for `ChannelMixer.none`."""
    match kind:
        case ChannelMixer.none:
            return None
        case ChannelMixer.mlp:
            return MLP(d_model, rngs=rngs)
        case ChannelMixer.swiglu:
            return SwiGLU(d_model, rngs=rngs)
        case ChannelMixer.rwkv4:
            return RWKVChannelMixer(d_model, 4 * d_model, gain=2.0, rngs=rngs, dtype=dtype)
        case ChannelMixer.rwkv5:
            return RWKVChannelMixer(d_model, 7 * d_model // 2, rngs=rngs, dtype=dtype)
        case ChannelMixer.rwkv6:
            return RWKVChannelMixer(d_model, 7 * d_model // 2, exponent=0.25, rngs=rngs, dtype=dtype)
        case ChannelMixer.rwkv7:
            return RWKVChannelMixer(
                d_model, 4 * d_model, exponent=0.125, use_receptance=False, rngs=rngs, dtype=dtype
            )
