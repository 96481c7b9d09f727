"""One layer: norm, mixer, residual; then norm, channel mixer, residual, where there is a channel mixer."""

from typing import NamedTuple

from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.channel_mixers import ChannelMixer, make_channel_mixer
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.mixer import Mixer, State
from sandbox.shapes import Activations, Token


class BlockState(NamedTuple):
    """What the mixer carries, and what the channel mixer does: None where that carries nothing."""

    mixer: State
    channel_mixer: State


class Block(nnx.Module):
    """x ← x + mixer(norm(x)), then x ← x + channel_mixer(norm(x)). It has the three forms of a `Mixer`."""

    def __init__(
        self, mixer: Mixer, d_model: int, channel_mixer: ChannelMixer, *, rngs: nnx.Rngs, dtype: DTypeLike
    ):
        self.norm = RMSNorm(d_model)
        self.mixer = mixer
        self.channel_mixer = make_channel_mixer(channel_mixer, d_model, rngs=rngs, dtype=dtype)
        self.channel_norm = None if self.channel_mixer is None else RMSNorm(d_model)

    def __call__(self, x: Activations) -> Activations:
        x = x + self.mixer(self.norm(x))
        if self.channel_mixer is None or self.channel_norm is None:
            return x
        return x + self.channel_mixer(self.channel_norm(x))

    def init_state(self, batch_size: int, max_len: int) -> BlockState:
        """The empty decode state for sequences of up to `max_len` tokens."""
        channel_mixer = None if self.channel_mixer is None else self.channel_mixer.init_state(batch_size, max_len)
        return BlockState(self.mixer.init_state(batch_size, max_len), channel_mixer)

    def prefill(self, x: Activations, state: BlockState) -> tuple[Activations, BlockState]:
        """The next T tokens at once, from `state`."""
        y, mixer = self.mixer.prefill(self.norm(x), state.mixer)
        x = x + y
        if self.channel_mixer is None or self.channel_norm is None:
            return x, BlockState(mixer, None)
        y, channel_mixer = self.channel_mixer.prefill(self.channel_norm(x), state.channel_mixer)
        return x + y, BlockState(mixer, channel_mixer)

    def step(self, x: Token, state: BlockState) -> tuple[Token, BlockState]:
        """The next token, from `state`."""
        y, mixer = self.mixer.step(self.norm(x), state.mixer)
        x = x + y
        if self.channel_mixer is None or self.channel_norm is None:
            return x, BlockState(mixer, None)
        y, channel_mixer = self.channel_mixer.step(self.channel_norm(x), state.channel_mixer)
        return x + y, BlockState(mixer, channel_mixer)
