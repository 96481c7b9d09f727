"""The diagonal state-space model of S4D (arXiv:2206.11893) and H3; `mixers/s4d.py` has its equations."""

import enum
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Complex, Float

from sandbox.models.layers.convolution import long_convolution
from sandbox.models.layers.parameters import NoWeightDecay, log_step_size
from sandbox.option_checks import check_at_least, check_even
from sandbox.ran import note_implementation
from sandbox.scans import diagonal_scan
from sandbox.shapes import Activations


class Initialization(enum.Enum):
    """Initial frequencies of the modes; see the table in `mixers/s4d.py`."""

    lin = "lin"
    inv = "inv"
    legs = "legs"


class Discretization(enum.Enum):
    """Discretisation of the continuous system; see the equations in `mixers/s4d.py`."""

    zoh = "zoh"
    bilinear = "bilinear"


class DiagonalSSM(nnx.Module):
    """A state-space model for each of E channels.

    Decode state: `[B, E, N]` in float32, the real parts of the N/2 modes, then their imaginary parts.
    """

    def __init__(
        self,
        channels: int,
        d_state: int,
        *,
        initialization: Initialization,
        discretization: Discretization,
        rngs: nnx.Rngs,
    ):
        self.discretization = discretization
        modes = (channels, d_state // 2)
        self.log_dt = NoWeightDecay(log_step_size(rngs.params(), channels))
        self.log_rates = NoWeightDecay(jnp.full(modes, math.log(0.5), jnp.float32))
        frequencies = jnp.asarray(initial_frequencies(initialization, d_state), jnp.float32)
        self.frequencies = NoWeightDecay(jnp.broadcast_to(frequencies, modes))
        self.c_real = nnx.Param(math.sqrt(0.5) * jax.random.normal(rngs.params(), modes))
        self.c_imag = nnx.Param(math.sqrt(0.5) * jax.random.normal(rngs.params(), modes))
        self.skip = NoWeightDecay(jax.random.normal(rngs.params(), (channels,)))

    def __call__(self, x: Activations) -> Activations:
        """The whole sequence from an empty state, by convolution."""
        note_implementation("convolution")
        log_a, b = self._discretize()
        times = jnp.arange(x.shape[1], dtype=jnp.float32)
        powers = jnp.exp(log_a[None] * times[:, None, None])
        kernel = jnp.sum(2 * jnp.real((self._c() * b)[None] * powers), axis=-1)
        return long_convolution(x, kernel) + self._skipped(x)

    def init_state(self, batch_size: int) -> Float[Array, "B E N"]:
        """The empty decode state."""
        channels, modes = self.c_real.shape
        return jnp.zeros((batch_size, channels, 2 * modes), jnp.float32)

    def prefill(
        self, x: Activations, state: Float[Array, "B E N"], **scan_options: Any
    ) -> tuple[Activations, Float[Array, "B E N"]]:
        log_a, b = self._discretize()
        inputs = x.astype(jnp.float32)[..., None] * b[None, None]
        real, imag = jnp.split(state, 2, axis=-1)
        h, last = diagonal_scan(
            jnp.exp(log_a)[None, None], inputs, initial_state=jax.lax.complex(real, imag), **scan_options
        )
        y = 2 * jnp.real(jnp.einsum("btem,em->bte", h, self._c()))
        return y.astype(x.dtype) + self._skipped(x), jnp.concatenate([last.real, last.imag], axis=-1)

    def _discretize(self) -> tuple[Complex[Array, "E M"], Complex[Array, "E M"]]:
        rates = jax.lax.complex(-jnp.exp(self.log_rates[...]), self.frequencies[...])
        dt = jnp.exp(self.log_dt[...])[:, None]
        if self.discretization is Discretization.bilinear:
            half = dt * rates / 2
            return jnp.log1p(half) - jnp.log1p(-half), dt / (1 - half)
        return dt * rates, jnp.expm1(dt * rates) / rates

    def _c(self) -> Complex[Array, "E M"]:
        return jax.lax.complex(self.c_real[...], self.c_imag[...])

    def _skipped(self, x: Activations) -> Activations:
        return x * self.skip[...].astype(x.dtype)


def initial_frequencies(initialization: Initialization, d_state: int) -> np.ndarray:
    """Initial imaginary parts of the d_state / 2 modes of a channel."""
    n = np.arange(d_state // 2)
    if initialization is Initialization.lin:
        return np.pi * n
    if initialization is Initialization.inv:
        return d_state / np.pi * (d_state / (2 * n + 1) - 1)
    # HiPPO-LegS is -1/2 plus a skew-symmetric matrix, minus a rank-one matrix that S4D drops.
    scale = np.sqrt(2 * np.arange(d_state) + 1)
    skew = np.triu(np.outer(scale, scale), k=1) / 2
    return np.linalg.eigvalsh(1j * (skew - skew.T))[d_state // 2 :]


def check_even_d_state(d_state: int) -> None:
    """Raises ValueError unless `d_state` floats make up one or more complex modes."""
    check_at_least("mixer.d_state", d_state, 2)
    check_even("mixer.d_state", d_state)
