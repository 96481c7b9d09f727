"""The few layers that mixers share, and the parameter type `Undecayed`.

Parameters are float32; a layer computes in the type of its input.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.shapes import Activations, Token


class Undecayed(nnx.Param):
    """A parameter that weight decay leaves alone: norms, biases, whatever sets a decay or a time scale."""


LECUN_NORMAL = nnx.initializers.lecun_normal()
FAN_IN_UNIFORM = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Uniform in ±fan-in^-1/2."""


class Dense(nnx.Module):
    """y = x W (+ b), over the last axis; W is drawn from N(0, 1 / fan-in), truncated, unless told otherwise."""

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        use_bias: bool = False,
        kernel_init: nnx.Initializer = LECUN_NORMAL,
        rngs: nnx.Rngs,
    ):
        self.kernel = nnx.Param(kernel_init(rngs.params(), (d_in, d_out), jnp.float32))
        self.bias = Undecayed(jnp.zeros((d_out,), jnp.float32)) if use_bias else None

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows O"]:
        # Two-dimensional on purpose: contracting [B, T, D] over two axes in the weight gradient misses
        # the fast matrix product on CPU and takes three times as long.
        y = x.reshape(-1, x.shape[-1]) @ self.kernel[...].astype(x.dtype)
        if self.bias is not None:
            y = y + jnp.broadcast_to(self.bias[...].astype(x.dtype), y.shape)
        return y.reshape(*x.shape[:-1], -1)


class LowRank(nnx.Module):
    """y = f(x A) B (+ b), with `rank` channels in between; f is the identity where no activation is given."""

    def __init__(
        self,
        d_in: int,
        rank: int,
        d_out: int,
        *,
        activation: Callable[[jax.Array], jax.Array] | None = None,
        use_bias: bool = False,
        down_init: nnx.Initializer = LECUN_NORMAL,
        up_init: nnx.Initializer = LECUN_NORMAL,
        rngs: nnx.Rngs,
    ):
        self.down = Dense(d_in, rank, kernel_init=down_init, rngs=rngs)
        self.up = Dense(rank, d_out, use_bias=use_bias, kernel_init=up_init, rngs=rngs)
        self.activation = activation

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows O"]:
        x = self.down(x)
        return self.up(x if self.activation is None else self.activation(x))


class RMSNorm(nnx.Module):
    """y = x / sqrt(mean(x²) + ε) ⊙ scale, over the last axis (Zhang & Sennrich 2019), computed in float32.

    With `shape=(H, V)` each head is normalised by itself and has a scale of its own.
    """

    def __init__(self, shape: int | tuple[int, ...], *, epsilon: float = 1e-6):
        self.scale = Undecayed(jnp.ones(shape, jnp.float32))
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows I"]:
        x32 = x.astype(jnp.float32)
        y = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.epsilon)
        return (y * jnp.broadcast_to(self.scale[...], y.shape)).astype(x.dtype)


class LayerNorm(nnx.Module):
    """y = (x - mean) / sqrt(variance + ε) ⊙ scale (+ bias), over the last axis, computed in float32.

    With `shape=(H, V)` this is group norm: each head by itself, with a scale and bias of its own, if any.
    """

    def __init__(
        self,
        shape: int | tuple[int, ...],
        *,
        use_scale: bool = True,
        use_bias: bool = True,
        epsilon: float = 1e-5,
    ):
        self.scale = Undecayed(jnp.ones(shape, jnp.float32)) if use_scale else None
        self.bias = Undecayed(jnp.zeros(shape, jnp.float32)) if use_bias else None
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows I"]:
        x32 = x.astype(jnp.float32)
        centred = x32 - jnp.mean(x32, axis=-1, keepdims=True)
        y = centred * jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + self.epsilon)
        if self.scale is not None:
            y = y * jnp.broadcast_to(self.scale[...], y.shape)
        if self.bias is not None:
            y = y + jnp.broadcast_to(self.bias[...], y.shape)
        return y.astype(x.dtype)


def l2_normalize(x: Float[Array, "*rows K"], *, epsilon: float = 1e-6) -> Float[Array, "*rows K"]:
    """x / sqrt(Σ x² + ε) over the last axis; the length is computed in float32."""
    squared = jnp.sum(jnp.square(x.astype(jnp.float32)), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(squared + epsilon).astype(x.dtype)


class CausalConv(nnx.Module):
    """y_t = Σ_{i<W} w_i ⊙ x_{t-i} (+ b), per channel (depthwise), with x = 0 before the first token.

    Its decode state is the last W - 1 inputs, `[B, W-1, D]`.
    """

    def __init__(self, channels: int, width: int, *, use_bias: bool = True, rngs: nnx.Rngs):
        bound = width**-0.5
        self.kernel = nnx.Param(jax.random.uniform(rngs.params(), (width, channels), jnp.float32, -bound, bound))
        self.bias = Undecayed(jnp.zeros((channels,), jnp.float32)) if use_bias else None
        self.width = width

    def __call__(self, x: Activations) -> Activations:
        return self._convolve(jnp.pad(x, ((0, 0), (self.width - 1, 0), (0, 0))))

    def init_state(self, batch_size: int, dtype: DTypeLike) -> Float[Array, "B I D"]:
        """No inputs seen yet."""
        return jnp.zeros((batch_size, self.width - 1, self.kernel.shape[1]), dtype)

    def prefill(self, x: Activations, state: Float[Array, "B I D"]) -> tuple[Activations, Float[Array, "B I D"]]:
        """The next T positions, and the last W - 1 inputs seen."""
        window = jnp.concatenate([state, x.astype(state.dtype)], axis=1)
        return self._convolve(window).astype(x.dtype), window[:, window.shape[1] - self.width + 1 :]

    def step(self, x: Token, state: Float[Array, "B I D"]) -> tuple[Token, Float[Array, "B I D"]]:
        """The next position."""
        y, state = self.prefill(x[:, None], state)
        return y[:, 0], state

    def _convolve(self, window: Float[Array, "B S D"]) -> Float[Array, "B T D"]:
        """A sum of shifted products: on CPU much faster than a grouped convolution."""
        length = window.shape[1] - self.width + 1
        kernel = self.kernel[...].astype(window.dtype)
        shape = (window.shape[0], length, window.shape[2])
        taps = [
            window[:, self.width - 1 - i : self.width - 1 - i + length] * jnp.broadcast_to(kernel[i], shape)
            for i in range(self.width)
        ]
        if self.bias is not None:
            taps.append(jnp.broadcast_to(self.bias[...].astype(window.dtype), shape))
        return functools.reduce(jnp.add, taps)


def long_convolution(x: Activations, kernel: Float[Array, "T D"]) -> Activations:
    """y_t = Σ_{s≤t} k_{t-s} ⊙ x_s, per channel, in float32: a causal convolution as long as the sequence.

    Up to 64 tokens it is a product with the Toeplitz matrix of each channel. Beyond, it goes through the Fourier
    transform (of twice the length, so that nothing wraps around), whose rounding spreads over all positions:
    there an output depends on later inputs by about 1e-7 of their size.
    """
    length, channels = kernel.shape
    x32 = x.astype(jnp.float32)
    if length > 64:  # measured on CPU: the product is as fast at 64 tokens, and 5 times slower at 128
        spectrum = jnp.fft.rfft(x32, 2 * length, axis=1)
        spectrum = spectrum * jnp.broadcast_to(jnp.fft.rfft(kernel, 2 * length, axis=0), spectrum.shape)
        return jnp.fft.irfft(spectrum, 2 * length, axis=1)[:, :length].astype(x.dtype)
    taps = kernel.T
    # Row t of a Toeplitz matrix is row 0 moved by t. Writing rows of 2T numbers one after another and reading
    # them as rows of 2T - 1 moves each by one more, without a gather.
    row = jnp.concatenate([taps[:, :1], jnp.zeros_like(taps), taps[:, :0:-1]], axis=1)
    rows = jnp.broadcast_to(row[:, None], (channels, length, 2 * length)).reshape(channels, -1)
    toeplitz = rows[:, : length * (2 * length - 1)].reshape(channels, length, 2 * length - 1)[:, :, :length]
    return jnp.einsum("dts,bsd->btd", toeplitz, x32).astype(x.dtype)
