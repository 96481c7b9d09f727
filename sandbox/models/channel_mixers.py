"""What may follow the sequence mixer in a layer: maps over the channels of a token.

They keep the contract of a `Mixer`, as RWKV's look at the token before, which has to be carried.
"""

import enum

import jax
from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.layers import Dense
from sandbox.models.mixer import Mixer
from sandbox.shapes import Activations


class ChannelMixer(enum.Enum):
    """What follows the sequence mixer in a layer."""

    none = "none"
    mlp = "mlp"
    swiglu = "swiglu"


class Pointwise(Mixer):
    """A map of each token by itself, which carries nothing. Subclasses define `__call__`."""

    def init_state(self, batch_size: int, max_len: int) -> None:
        return None

    def prefill(self, x: Activations, state: None) -> tuple[Activations, None]:
        return self(x), None


class MLP(Pointwise):
    """y = gelu(x W₁) W₂, four times as wide inside."""

    def __init__(self, d_model: int, *, rngs: nnx.Rngs):
        self.up = Dense(d_model, 4 * d_model, rngs=rngs)
        self.down = Dense(4 * d_model, d_model, rngs=rngs)

    def __call__(self, x: Activations) -> Activations:
        return self.down(jax.nn.gelu(self.up(x)))


class SwiGLU(Pointwise):
    """y = (silu(x W₁) ⊙ x W₂) W₃ (Shazeer 2020), 8/3 as wide inside: as many parameters as `MLP`."""

    def __init__(self, d_model: int, *, rngs: nnx.Rngs):
        inner = 8 * d_model // 3
        self.gate = Dense(d_model, inner, rngs=rngs)
        self.up = Dense(d_model, inner, rngs=rngs)
        self.down = Dense(inner, d_model, rngs=rngs)

    def __call__(self, x: Activations) -> Activations:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


def make_channel_mixer(kind: ChannelMixer, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike) -> Mixer | None:
    """A channel mixer of width `d_model`; none for `ChannelMixer.none`."""
    match kind:
        case ChannelMixer.none:
            return None
        case ChannelMixer.mlp:
            return MLP(d_model, rngs=rngs)
        case ChannelMixer.swiglu:
            return SwiGLU(d_model, rngs=rngs)
