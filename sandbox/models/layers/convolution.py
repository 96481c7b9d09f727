"""Causal depthwise convolutions: short ones, and ones as long as the sequence."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers.parameters import NoWeightDecay, uniform_within
from sandbox.models.segments import segment_numbers
from sandbox.shapes import Activations, Token


class CausalConv(nnx.Module):
    """y_t = Σ_{i<W} w_i ⊙ x_{t-i} (+ b), with x = 0 before the first token.

    w and b start uniform in ±W^-1/2, as PyTorch's `nn.Conv1d`, which the code of most mixers leaves as it is.
    Decode state: the last W - 1 inputs, `[B, W-1, D]`.
    """

    def __init__(self, channels: int, width: int, *, use_bias: bool = True, rngs: nnx.Rngs):
        draw = uniform_within(width**-0.5)
        self.kernel = nnx.Param(draw(rngs.params(), (width, channels), jnp.float32))
        self.bias = NoWeightDecay(draw(rngs.params(), (channels,), jnp.float32)) if use_bias else None
        self.width = width

    def __call__(self, x: Activations) -> Activations:
        return self._convolve(jnp.pad(x, ((0, 0), (self.width - 1, 0), (0, 0))))

    def init_state(self, batch_size: int, dtype: DTypeLike) -> Float[Array, "B I D"]:
        return jnp.zeros((batch_size, self.width - 1, self.kernel.shape[1]), dtype)

    def prefill(self, x: Activations, state: Float[Array, "B I D"]) -> tuple[Activations, Float[Array, "B I D"]]:
        window = jnp.concatenate([state, x.astype(state.dtype)], axis=1)
        return self._convolve(window).astype(x.dtype), window[:, window.shape[1] - self.width + 1 :]

    def step(self, x: Token, state: Float[Array, "B I D"]) -> tuple[Token, Float[Array, "B I D"]]:
        y, state = self.prefill(x[:, None], state)
        return y[:, 0], state

    def _convolve(self, window: Float[Array, "B S D"]) -> Float[Array, "B T D"]:
        """Sums shifted products, which on CPU is much faster than a grouped convolution."""
        length = window.shape[1] - self.width + 1
        kernel = self.kernel[...].astype(window.dtype)
        taps = [window[:, self.width - 1 - i : self.width - 1 - i + length] * kernel[i] for i in range(self.width)]
        convolved = functools.reduce(jnp.add, self._within_segments(taps))
        return convolved if self.bias is None else convolved + self.bias[...].astype(window.dtype)

    def _within_segments(self, taps: list[Float[Array, "B T D"]]) -> list[Float[Array, "B T D"]]:
        """The products with each of the last inputs, without those of other segments."""
        if (numbers := segment_numbers()) is None:
            return taps
        length = numbers.shape[1]
        numbered = jnp.pad(numbers, ((0, 0), (self.width - 1, 0)))
        earlier = [numbered[:, self.width - 1 - i : self.width - 1 - i + length] for i in range(self.width)]
        return [jnp.where((one == numbers)[:, :, None], tap, 0) for one, tap in zip(earlier, taps, strict=True)]


def long_convolution(x: Activations, kernel: Float[Array, "T D"]) -> Activations:
    """y_t = Σ_{s≤t} k_{t-s} ⊙ x_s, in float32, over the s of t's segment.

    Above 64 tokens it uses an FFT, whose rounding lets later inputs change an output by about 1e-7 of its size.
    Segments take T² products per channel instead, one row of the batch after the other.
    """
    length = len(kernel)
    x32 = x.astype(jnp.float32)
    if (numbers := segment_numbers()) is not None:

        @jax.checkpoint
        def of_row(row: tuple[Float[Array, "T D"], Int[Array, "T"]]) -> Float[Array, "T D"]:
            x, number = row
            own = number[:, None] == number[None, :]
            return jnp.einsum("dts,sd->td", jnp.where(own, toeplitz(kernel), 0), x)

        return jax.lax.map(of_row, (x32, numbers)).astype(x.dtype)
    if length > 64:  # measured on CPU: the product is as fast at 64 tokens, and 5 times slower at 128
        spectrum = jnp.fft.rfft(x32, 2 * length, axis=1)
        spectrum = spectrum * jnp.fft.rfft(kernel, 2 * length, axis=0)
        return jnp.fft.irfft(spectrum, 2 * length, axis=1)[:, :length].astype(x.dtype)
    return jnp.einsum("dts,bsd->btd", toeplitz(kernel), x32).astype(x.dtype)


def toeplitz(kernel: Float[Array, "T D"]) -> Float[Array, "D T T"]:
    """The matrix of the convolution of each channel: k_{t-s} in row t and column s, 0 where s > t."""
    taps, (length, channels) = kernel.T, kernel.shape
    # Row t of a Toeplitz matrix is row 0 shifted by t. Reading a buffer of rows of 2T floats as rows of 2T - 1
    # shifts each row by one more, without a gather.
    row = jnp.concatenate([taps[:, :1], jnp.zeros_like(taps), taps[:, :0:-1]], axis=1)
    rows = jnp.broadcast_to(row[:, None], (channels, length, 2 * length)).reshape(channels, -1)
    return rows[:, : length * (2 * length - 1)].reshape(channels, length, 2 * length - 1)[:, :, :length]
