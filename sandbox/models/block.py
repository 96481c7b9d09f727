"""One layer of the model."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.channel_mixers import ChannelMixer, make_channel_mixer
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.layers.token_by_token import decode_segments
from sandbox.models.mixer import Mixer, State
from sandbox.models.segments import open_segments
from sandbox.shapes import Activations, Token


class BlockState(NamedTuple):
    """States of the mixer and of the channel mixer, which may have none."""

    mixer: State
    channel_mixer: State = None


class Block(nnx.Module):
    """x ← x + mixer(norm(x)), then x ← x + channel_mixer(norm(x)) if there is one; has the forms of a `Mixer`."""

    def __init__(
        self,
        mixer: Mixer,
        d_model: int,
        channel_mixer: ChannelMixer,
        *,
        takes_segments: bool,
        rngs: nnx.Rngs,
        dtype: DTypeLike,
    ):
        self.norm = RMSNorm(d_model)
        self.mixer = mixer
        self.takes_segments = takes_segments
        self.channel_mixer = make_channel_mixer(channel_mixer, d_model, rngs=rngs, dtype=dtype)
        self.channel_norm = None if self.channel_mixer is None else RMSNorm(d_model)

    @property
    def mixers(self) -> list[Mixer]:
        """The mixer and, if there is one, the channel mixer."""
        return [self.mixer] if self.channel_mixer is None else [self.mixer, self.channel_mixer]

    @property
    def norms(self) -> list[RMSNorm]:
        """The norm before each of `mixers`."""
        return [self.norm] if self.channel_norm is None else [self.norm, self.channel_norm]

    def __call__(self, x: Activations) -> Activations:
        forms: list[Callable[[Activations], Activations]] = [self._mix, *self.mixers[1:]]
        for norm, form in zip(self.norms, forms, strict=True):
            x = x + form(norm(x))
        return x

    def _mix(self, x: Activations) -> Activations:
        """The mixer's outputs; in segments token by token, if its other forms would look across their borders."""
        if self.takes_segments or open_segments() is None:
            return self.mixer(x)
        return decode_segments(self.mixer, x)

    def init_state(self, batch_size: int, max_len: int) -> BlockState:
        return BlockState(*(mixer.init_state(batch_size, max_len) for mixer in self.mixers))

    def prefill(self, x: Activations, state: BlockState) -> tuple[Activations, BlockState]:
        return self._decode([mixer.prefill for mixer in self.mixers], x, state)

    def step(self, x: Token, state: BlockState) -> tuple[Token, BlockState]:
        return self._decode([mixer.step for mixer in self.mixers], x, state)

    def _decode(
        self,
        forms: Sequence[Callable[[jax.Array, State], tuple[jax.Array, State]]],
        x: Activations | Token,
        state: BlockState,
    ) -> tuple[Activations | Token, BlockState]:
        carried = []
        for norm, form, own in zip(self.norms, forms, state, strict=False):
            y, own = form(norm(x), own)
            x = x + y
            carried.append(own)
        return x, BlockState(*carried)
