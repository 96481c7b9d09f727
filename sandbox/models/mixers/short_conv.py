"""Gated short convolution: BaseConv of Arora et al. 2023 (arXiv:2312.04927, `zoology/mixers/base_conv.py`).

y_t = (Σ_{i<W} w_i ⊙ x_{t-i} + b) ⊙ (x_t W_g + c) + x_t
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense
from sandbox.models.mixer import Card, Mixer, MixerConfig
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class ShortConvConfig(MixerConfig):
    """A gated convolution that compares each token with the `width - 1` before it and keeps nothing older."""

    card: ClassVar[Card] = Card(
        equation="y_t = (Σ_{i<W} w_i ⊙ x_{t-i} + b) ⊙ (x_t W_g + c) + x_t",
        decay="forgets after W tokens",
        update="window",
        paper="Arora et al. 2023, arXiv:2312.04927",
    )

    takes_segments: ClassVar[bool] = True

    width: int = 3
    """Tokens W that the convolution sees, the current one included."""

    def __post_init__(self) -> None:
        check_at_least("mixer.width", self.width, 1)


class ShortConvState(NamedTuple):
    """The last `width - 1` inputs."""

    conv: Annotated[Float[Array, "B S D"], StateKind.convolution]


class ShortConv(Mixer):
    """A gated short convolution. Decode state: a `ShortConvState`."""

    def __init__(self, config: ShortConvConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.conv = CausalConv(d_model, config.width, rngs=rngs)
        self.gate = Dense(d_model, d_model, use_bias=True, rngs=rngs)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> ShortConvState:
        return ShortConvState(self.conv.init_state(batch_size, self.dtype))

    def prefill(self, x: Activations, state: ShortConvState) -> tuple[Activations, ShortConvState]:
        y, window = self.conv.prefill(x, state.conv)
        return y * self.gate(x) + x, ShortConvState(window)


ShortConvConfig.mixer = ShortConv
