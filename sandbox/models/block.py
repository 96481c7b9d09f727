"""One layer: norm, mixer, residual; then norm, channel mixer, residual, where there is a channel mixer."""

import enum

import jax
from flax import nnx

from sandbox.models.layers import Dense, RMSNorm
from sandbox.models.mixer import Mixer, State
from sandbox.shapes import Activations, Token


class ChannelMixer(enum.Enum):
    """What follows the sequence mixer in a layer."""

    none = "none"
    mlp = "mlp"
    swiglu = "swiglu"


class MLP(nnx.Module):
    """y = gelu(x W₁) W₂, four times as wide inside."""

    def __init__(self, d_model: int, *, rngs: nnx.Rngs):
        self.up = Dense(d_model, 4 * d_model, rngs=rngs)
        self.down = Dense(4 * d_model, d_model, rngs=rngs)

    def __call__(self, x: Activations) -> Activations:
        return self.down(jax.nn.gelu(self.up(x)))


class SwiGLU(nnx.Module):
    """y = (silu(x W₁) ⊙ x W₂) W₃ (Shazeer 2020), 8/3 as wide inside: as many parameters as `MLP`."""

    def __init__(self, d_model: int, *, rngs: nnx.Rngs):
        inner = 8 * d_model // 3
        self.gate = Dense(d_model, inner, rngs=rngs)
        self.up = Dense(d_model, inner, rngs=rngs)
        self.down = Dense(inner, d_model, rngs=rngs)

    def __call__(self, x: Activations) -> Activations:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


CHANNEL_MIXERS: dict[ChannelMixer, type[MLP] | type[SwiGLU]] = {
    ChannelMixer.mlp: MLP,
    ChannelMixer.swiglu: SwiGLU,
}


class Block(nnx.Module):
    """x ← x + mixer(norm(x)), then x ← x + channel_mixer(norm(x)). Decode state: the mixer's."""

    def __init__(self, mixer: Mixer, d_model: int, channel_mixer: ChannelMixer, *, rngs: nnx.Rngs):
        self.norm = RMSNorm(d_model)
        self.mixer = mixer
        mixes = channel_mixer is not ChannelMixer.none
        self.channel_norm = RMSNorm(d_model) if mixes else None
        self.channel_mixer = CHANNEL_MIXERS[channel_mixer](d_model, rngs=rngs) if mixes else None

    def __call__(self, x: Activations) -> Activations:
        return self._mix_channels(x + self.mixer(self.norm(x)))

    def prefill(self, x: Activations, state: State) -> tuple[Activations, State]:
        """The next T tokens at once, from `state`."""
        y, state = self.mixer.prefill(self.norm(x), state)
        return self._mix_channels(x + y), state

    def step(self, x: Token, state: State) -> tuple[Token, State]:
        """The next token, from `state`."""
        y, state = self.mixer.step(self.norm(x), state)
        return self._mix_channels((x + y)[:, None])[:, 0], state

    def _mix_channels(self, x: Activations) -> Activations:
        if self.channel_mixer is None or self.channel_norm is None:
            return x
        return x + self.channel_mixer(self.channel_norm(x))
