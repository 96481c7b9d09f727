"""S4D, the diagonal state-space model (Gu, Gupta, Goel & Ré 2022, arXiv:2206.11893).

    a = exp(Δ A),  b = (a - 1) / A                 discretization=zoh (zero-order hold), for B = 1
    a = (1 + Δ A / 2) / (1 - Δ A / 2),  b = Δ / (1 - Δ A / 2)      discretization=bilinear
    h_t = a h_{t-1} + b x_t,   y_t = 2 Re(C h_t) + D x_t     per channel: A, C, h complex [N/2], Δ and D numbers
    o_t = glu(gelu(y_t) W + c)                     mixes the channels

Each complex number stands for itself and its conjugate (section 3), hence 2 Re. `d_state` counts the real numbers
that a channel keeps: N = d_state is d_state / 2 complex modes, as in the paper.

Parameters and their initialisation are those of the official minimal layer (state-spaces/s4, `models/s4/s4d.py`):
A = -exp(ρ) + i ω, C complex standard normal, D standard normal, log Δ uniform between log 0.001 and log 0.1, B = 1
and not trained (it would only rescale C). A starts with real part -1/2 and, for n = 0 .. N/2 - 1 (section 4):

| initialization | imaginary part |
| --- | --- |
| lin | π n |
| inv | N/π (N / (2n + 1) - 1) |
| legs | the positive eigenvalues of the normal part of the HiPPO-LegS matrix |

There Δ and A have a smaller learning rate than the rest, 0.001; here all share one. In training the outputs are a
convolution with the kernel 2 Re Σ_n C_n b_n a_n^t, which forms nothing of the size of all states; decoding, and
training with a named `implementation`, run the recurrence.
"""

import dataclasses
import enum
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Complex, Float

from sandbox.models.layers import Dense, Undecayed, long_convolution
from sandbox.models.mixer import Card, Mixer, ScanConfig, ScanMixer
from sandbox.option_checks import check_at_least
from sandbox.scans import diagonal_scan
from sandbox.shapes import Activations


class Initialization(enum.Enum):
    """Which frequencies the modes start at: see the table above."""

    lin = "lin"
    inv = "inv"
    legs = "legs"


class Discretization(enum.Enum):
    """How the continuous system is turned into a recurrence: see the equations above."""

    zoh = "zoh"
    bilinear = "bilinear"


@dataclasses.dataclass(unsafe_hash=True)
class S4DConfig(ScanConfig):
    """Every channel drives modes that turn and decay at fixed rates, learned by each."""

    card: ClassVar[Card] = Card(
        equation="h_t = exp(Δ A) ⊙ h_{t-1} + (exp(Δ A) - 1) / A x_t; y_t = 2 Re(C·h_t) + D x_t, A complex",
        decay="learned, complex, per channel and mode",
        update="add",
        paper="Gu et al. 2022, arXiv:2206.11893",
    )

    d_state: int = 64
    """Real numbers that a channel keeps, two for each complex mode: N."""
    initialization: Initialization = Initialization.lin
    """Frequencies that the modes start at."""
    discretization: Discretization = Discretization.zoh
    """How the continuous system is turned into a recurrence."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_even_d_state(self.d_state)

    def make(self, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Mixer:
        """A mixer of width `d_model`."""
        return S4D(self, d_model, rngs=rngs)


class DiagonalSSM(nnx.Module):
    """The state-space model of each of E channels by itself, without what mixes them.

    Its state is `[B, E, N]` in float32: the real parts of the N/2 modes, then their imaginary parts.
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
        log_dt = jax.random.uniform(rngs.params(), (channels,), jnp.float32, math.log(0.001), math.log(0.1))
        self.log_dt = Undecayed(log_dt)
        self.log_rates = Undecayed(jnp.full(modes, math.log(0.5), jnp.float32))
        frequencies = jnp.asarray(initial_frequencies(initialization, d_state), jnp.float32)
        self.frequencies = Undecayed(jnp.broadcast_to(frequencies, modes))
        self.c_real = nnx.Param(math.sqrt(0.5) * jax.random.normal(rngs.params(), modes))
        self.c_imag = nnx.Param(math.sqrt(0.5) * jax.random.normal(rngs.params(), modes))
        self.skip = nnx.Param(jax.random.normal(rngs.params(), (channels,)))

    def __call__(self, x: Activations) -> Activations:
        """All outputs from the empty state, by convolution."""
        log_a, b = self._discretize()
        times = jnp.arange(x.shape[1], dtype=jnp.float32)
        powers = jnp.exp(log_a[None] * times[:, None, None])
        kernel = jnp.sum(2 * jnp.real((self._c() * b)[None] * powers), axis=-1)
        return long_convolution(x, kernel) + self._skipped(x)

    def init_state(self, batch_size: int) -> Float[Array, "B E N"]:
        """No inputs seen yet."""
        channels, modes = self.c_real.shape
        return jnp.zeros((batch_size, channels, 2 * modes), jnp.float32)

    def prefill(
        self, x: Activations, state: Float[Array, "B E N"], **scan_options: Any
    ) -> tuple[Activations, Float[Array, "B E N"]]:
        """The next T outputs, by the recurrence, and the state after them."""
        log_a, b = self._discretize()
        inputs = x.astype(jnp.float32)[..., None] * b[None, None]
        real, imag = jnp.split(state, 2, axis=-1)
        h, last = diagonal_scan(
            jnp.exp(log_a)[None, None], inputs, initial_state=jax.lax.complex(real, imag), **scan_options
        )
        y = 2 * jnp.real(jnp.einsum("btem,em->bte", h, self._c()))
        return y.astype(x.dtype) + self._skipped(x), jnp.concatenate([last.real, last.imag], axis=-1)

    def _discretize(self) -> tuple[Complex[Array, "E M"], Complex[Array, "E M"]]:
        """log a, and b."""
        rates = jax.lax.complex(-jnp.exp(self.log_rates[...]), self.frequencies[...])
        dt = jnp.exp(self.log_dt[...])[:, None]
        if self.discretization is Discretization.bilinear:
            half = dt * rates / 2
            return jnp.log1p(half) - jnp.log1p(-half), dt / (1 - half)
        return dt * rates, jnp.expm1(dt * rates) / rates

    def _c(self) -> Complex[Array, "E M"]:
        return jax.lax.complex(self.c_real[...], self.c_imag[...])

    def _skipped(self, x: Activations) -> Activations:
        return x * jnp.broadcast_to(self.skip[...].astype(x.dtype), x.shape)


class S4D(ScanMixer):
    """See the module's docstring. Decode state: the modes, `[B, D, N]`."""

    config: S4DConfig
    rule = "diagonal_scan"
    rows = 1

    def __init__(self, config: S4DConfig, d_model: int, *, rngs: nnx.Rngs):
        self.config = config
        self.columns = d_model * config.d_state // 2
        self.ssm = DiagonalSSM(
            d_model,
            config.d_state,
            initialization=config.initialization,
            discretization=config.discretization,
            rngs=rngs,
        )
        self.out = Dense(d_model, 2 * d_model, use_bias=True, rngs=rngs)

    def __call__(self, x: Activations) -> Activations:
        if self.config.implementation != "auto":
            return super().__call__(x)
        return self._mix(self.ssm(x))

    def init_state(self, batch_size: int, max_len: int) -> Float[Array, "B D N"]:
        return self.ssm.init_state(batch_size)

    def prefill(self, x: Activations, state: Float[Array, "B D N"]) -> tuple[Activations, Float[Array, "B D N"]]:
        y, state = self.ssm.prefill(x, state, **self.config.scan_options)
        return self._mix(y), state

    def resolved_implementation(self, length: int) -> str:
        if self.config.implementation == "auto" and length > 1:
            return "convolution"
        return super().resolved_implementation(length)

    def _mix(self, y: Activations) -> Activations:
        return jax.nn.glu(self.out(jax.nn.gelu(y, approximate=False)))


def initial_frequencies(initialization: Initialization, d_state: int) -> np.ndarray:
    """The imaginary parts at which the d_state / 2 modes of a channel start."""
    n = np.arange(d_state // 2)
    if initialization is Initialization.lin:
        return np.pi * n
    if initialization is Initialization.inv:
        return d_state / np.pi * (d_state / (2 * n + 1) - 1)
    # HiPPO-LegS is -1/2 plus a skew-symmetric matrix, minus a matrix of rank one that S4D drops.
    scale = np.sqrt(2 * np.arange(d_state) + 1)
    skew = np.triu(np.outer(scale, scale), k=1) / 2
    return np.linalg.eigvalsh(1j * (skew - skew.T))[d_state // 2 :]


def check_even_d_state(d_state: int) -> None:
    """Raises ValueError unless pairs of real numbers, one for each complex mode, make up `d_state`."""
    check_at_least("mixer.d_state", d_state, 2)
    if d_state % 2:
        raise ValueError(f"mixer.d_state={d_state} must be even: two real numbers for each complex mode")
