"""Hyena with an implicit long convolution, of order 2 (Poli et al. 2023, arXiv:2302.10866, sections 3.1 to 3.3).

    x₀, x₁, v = short convolution of x W_in + b    depthwise, 3 tokens
    u_t = x₁_t ⊙ v_t
    y_t = Σ_{s≤t} h_{t-s} ⊙ u_s + d ⊙ u_t
    o_t = (x₀_t ⊙ y_t) W_out + b

    h_τ = FFN(z_τ) ⊙ exp(-α p)                     the filter at distance τ, p = τ / (L - 1), L = filter_length
    z_τ = [p, cos(f w), -sin(f w)]                 w = 2 π τ / L and F evenly spaced f in 0.0001 .. F - 1
    FFN: three layers with sin(ω ⊙ ·) after each, one ω [width] for all, then a linear map to the channels

α is fixed and evenly spaced over the channels, such that exp(-α p) falls to 0.01 after 1.5 L to 0.3 L. The filter
depends on the distance alone, so it is the same for any sequence length and extends beyond L; `filter_length`
should be near the length of the task's sequences.

This is the operator of the official code (`src/models/sequence/hyena.py` of safari) with its defaults, but z is
fixed (there it is trained with a learning rate of 1e-5). The short convolution and the layers of the FFN start
uniform in ±fan-in^-1/2, biases too; these layers have no weight decay. ω starts at 1 and d standard normal. Higher
orders and heads are omitted.

No state is smaller than the past: decoding carries every u_s, and each call computes the filter anew.
"""

import dataclasses
import itertools
import math
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers.convolution import CausalConv, long_convolution
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import FAN_IN_UNIFORM, NoWeightDecay
from sandbox.models.mixer import Card, Mixer, MixerConfig
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations, Token
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values


@dataclasses.dataclass(unsafe_hash=True)
class HyenaConfig(MixerConfig):
    """A convolution as long as the sequence, between two gates; a small network generates its filter."""

    card: ClassVar[Card] = Card(
        equation="y_t = x₀_t ⊙ (Σ_{s≤t} h_{t-s} ⊙ x₁_s ⊙ v_s + d ⊙ x₁_t ⊙ v_t), h_τ = FFN(τ) ⊙ exp(-α τ)",
        decay="learned filter, per channel",
        update="append",
        paper="Poli et al. 2023, arXiv:2302.10866",
    )
    grows: ClassVar[bool] = True
    takes_segments: ClassVar[bool] = True

    filter_length: int = 1024
    """Unit of the filter's time axis, in tokens; best near the sequence length. The filter extends beyond it."""
    filter_width: int = 64
    """Hidden units of the network that generates the filter."""
    filter_bands: int = 1
    """Number F of frequencies in the position features."""
    conv_width: int = 3
    """Tokens that the short convolution sees."""

    def __post_init__(self) -> None:
        check_at_least("mixer.filter_length", self.filter_length, 2)
        check_at_least("mixer.filter_width", self.filter_width, 1)
        check_at_least("mixer.filter_bands", self.filter_bands, 1)
        check_at_least("mixer.conv_width", self.conv_width, 1)


class ImplicitFilter(nnx.Module):
    """The filter h of each channel as a function of the distance."""

    def __init__(self, config: HyenaConfig, channels: int, *, rngs: nnx.Rngs):
        self.length, self.bands, self.channels = config.filter_length, config.filter_bands, channels
        widths = [1 + 2 * config.filter_bands, *3 * [config.filter_width]]
        self.layers = nnx.List([_dense(d_in, d_out, rngs) for d_in, d_out in itertools.pairwise(widths)])
        self.frequency = NoWeightDecay(jnp.ones((config.filter_width,), jnp.float32))
        self.last = _dense(config.filter_width, channels, rngs, use_bias=False)

    def __call__(self, length: int) -> Float[Array, "T D"]:
        """The filter at the distances 0 .. length - 1."""
        distances = np.arange(length)
        p = distances / (self.length - 1)
        angles = np.outer(2 * np.pi * distances / self.length, np.linspace(1e-4, self.bands - 1, self.bands))
        h = jnp.asarray(np.concatenate([p[:, None], np.cos(angles), -np.sin(angles)], axis=1), jnp.float32)
        for layer in self.layers:
            h = layer(h)
            h = jnp.sin(h * self.frequency[...])
        rates = np.linspace(math.log(100) / 1.5, math.log(100) / 0.3, self.channels)
        return self.last(h) * jnp.asarray(np.exp(-np.outer(p, rates)), jnp.float32)


class HyenaState(NamedTuple):
    """All past inputs u of the long convolution, and the window of the short one."""

    past: Annotated[Float[Array, "B S D"], StateKind.cache]
    length: Annotated[Int[Array, ""], StateKind.counter]
    """Number of rows of `past` in use."""
    conv: Annotated[Float[Array, "B I E"], StateKind.convolution]


class Hyena(Mixer):
    """A long convolution between two gates. Decode state: a `HyenaState` of `max_len` rows."""

    def __init__(self, config: HyenaConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.project = Dense(d_model, 3 * d_model, use_bias=True, rngs=rngs)
        self.conv = CausalConv(3 * d_model, config.conv_width, rngs=rngs)
        self.filter = ImplicitFilter(config, d_model, rngs=rngs)
        self.skip = NoWeightDecay(jax.random.normal(rngs.params(), (d_model,)))
        self.out = Dense(d_model, d_model, use_bias=True, rngs=rngs)
        self.dtype = dtype

    def __call__(self, x: Activations) -> Activations:
        gate, inner_gate, v = jnp.split(self.conv(self.project(x)), 3, axis=-1)
        u = inner_gate * tap_values(v)
        return self._read(gate, u, long_convolution(u, self.filter(x.shape[1])))

    def init_state(self, batch_size: int, max_len: int) -> HyenaState:
        return HyenaState(
            past=jnp.zeros((batch_size, max_len, self.filter.channels), self.dtype),
            length=jnp.zeros((), jnp.int32),
            conv=self.conv.init_state(batch_size, self.dtype),
        )

    def prefill(self, x: Activations, state: HyenaState) -> tuple[Activations, HyenaState]:
        gate, u, state = self._append(x, state)
        # Over all rows, because the new ones start at a position known only at run time. Later rows are zero.
        y = long_convolution(state.past, self.filter(state.past.shape[1]))
        y = jax.lax.dynamic_slice_in_dim(y, state.length - x.shape[1], x.shape[1], axis=1)
        return self._read(gate, u, y.astype(x.dtype)), state

    def step(self, x: Token, state: HyenaState) -> tuple[Token, HyenaState]:
        gate, u, state = self._append(x[:, None], state)
        rows = state.past.shape[1]
        # The filter at distance length - 1 - s weights row s, and zero weights the rows after the last one.
        backwards = jnp.pad(self.filter(rows)[::-1], ((0, rows), (0, 0)))
        weights = jax.lax.dynamic_slice_in_dim(backwards, rows - state.length, rows)
        y = jnp.einsum("sd,bsd->bd", weights, state.past.astype(jnp.float32)).astype(x.dtype)
        return self._read(gate, u, y[:, None])[:, 0], state

    def _append(self, x: Activations, state: HyenaState) -> tuple[Activations, Activations, HyenaState]:
        """The outer gate, the new inputs u of the long convolution, and the state that includes them."""
        projected, window = self.conv.prefill(self.project(x), state.conv)
        gate, inner_gate, v = jnp.split(projected, 3, axis=-1)
        u = inner_gate * v
        past = jax.lax.dynamic_update_slice_in_dim(state.past, u.astype(state.past.dtype), state.length, axis=1)
        return gate, u, HyenaState(past, state.length + x.shape[1], window)

    def _read(self, gate: Activations, u: Activations, y: Activations) -> Activations:
        y = y + u * self.skip[...].astype(u.dtype)
        return self.out(tap_read(gate * y))


def _dense(d_in: int, d_out: int, rngs: nnx.Rngs, *, use_bias: bool = True) -> Dense:
    """A layer of the filter's network: no weight decay; kernel and bias start uniform in ±fan-in^-1/2."""
    layer = Dense(d_in, d_out, use_bias=use_bias, kernel_init=FAN_IN_UNIFORM, rngs=rngs)
    layer.kernel = NoWeightDecay(layer.kernel[...])
    if layer.bias is not None:
        bound = d_in**-0.5
        layer.bias[...] = jax.random.uniform(rngs.params(), (d_out,), jnp.float32, -bound, bound)
    return layer


HyenaConfig.mixer = Hyena
