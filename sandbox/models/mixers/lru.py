"""The linear recurrent unit (Orvieto et al. 2023, arXiv:2303.06349, section 3 and appendix A).

    h_t = λ ⊙ h_{t-1} + γ ⊙ (B x_t)      λ = exp(-exp(ν) + i exp(θ)), B complex [N, D], h complex [N]
    y_t = Re(C h_t) + D ⊙ x_t            C complex [D, N]
    o_t = glu(gelu(y_t) W + c)           the pointwise part of the paper's block

`d_state` is the number N of complex units, shared by all channels; the state holds 2 N floats. |λ| < 1 for any ν.
λ starts uniform on the ring r_min ≤ |λ| ≤ r_max with a phase in 0..max_phase (lemma 3.2). γ is trained and starts
at sqrt(1 - |λ|²), which keeps h at the size of its input (section 3.4). B, C and D start normal with variances
1 / 2D, 1 / N (of the real and the imaginary part each) and 1.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.mixer import Card, Mixer, ScanConfig, UnitsConfig
from sandbox.option_checks import check_positive_number
from sandbox.scans import diagonal_scan
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values


@dataclasses.dataclass(unsafe_hash=True)
class LRUConfig(UnitsConfig, ScanConfig):
    """Complex units, driven by all channels, that rotate and decay at learned rates."""

    card: ClassVar[Card] = Card(
        equation="h_t = λ ⊙ h_{t-1} + γ ⊙ (B x_t); y_t = Re(C h_t) + D ⊙ x_t, λ complex",
        decay="learned, complex, per unit",
        update="add",
        paper="Orvieto et al. 2023, arXiv:2303.06349",
        d_state="complex units N",
    )

    r_min: float = 0.0
    """Smallest initial modulus of λ; 0.9 or more for long memory."""
    r_max: float = 1.0
    """Largest initial modulus of λ."""
    max_phase: float = 6.28
    """Largest initial phase of λ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.r_min < self.r_max <= 1:
            raise ValueError(
                f"mixer.r_min={self.r_min} and mixer.r_max={self.r_max} must satisfy 0 <= r_min < r_max <= 1"
            )
        check_positive_number("mixer.max_phase", self.max_phase)


class LRUState(NamedTuple):
    """The real parts of the units, then their imaginary parts, `[B, 2N]` in float32."""

    units: Annotated[Float[Array, "B I"], StateKind.memory]


class LRU(Mixer):
    """The linear recurrent unit. Decode state: an `LRUState`."""

    config: LRUConfig

    def __init__(self, config: LRUConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.units = units = config.units(d_model)
        # Drawn above zero, because log 0 is not finite.
        area, angle = jax.random.uniform(rngs.params(), (2, units), jnp.float32, 1e-6, 1.0)
        squared_modulus = config.r_min**2 + area * (config.r_max**2 - config.r_min**2)
        log_rates = jnp.log(-0.5 * jnp.log(squared_modulus))
        self.log_rates = NoWeightDecay(log_rates)
        self.log_phases = NoWeightDecay(jnp.log(config.max_phase * angle))
        self.log_gamma = NoWeightDecay(0.5 * jnp.log(-jnp.expm1(-2 * jnp.exp(log_rates))))
        normal = nnx.initializers.normal
        self.b = Dense(d_model, 2 * units, kernel_init=normal((2 * d_model) ** -0.5), rngs=rngs)
        self.c = Dense(2 * units, d_model, kernel_init=normal(units**-0.5), rngs=rngs)
        self.skip = NoWeightDecay(jax.random.normal(rngs.params(), (d_model,)))
        self.out = Dense(d_model, 2 * d_model, use_bias=True, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> LRUState:
        return LRUState(jnp.zeros((batch_size, 2 * self.units), jnp.float32))

    def prefill(self, x: Activations, state: LRUState) -> tuple[Activations, LRUState]:
        log_modulus, phase = -jnp.exp(self.log_rates[...]), jnp.exp(self.log_phases[...])
        decay = jnp.exp(jax.lax.complex(log_modulus, phase))
        inputs = _complex(self.b(x).astype(jnp.float32))
        inputs = tap_values(inputs * jnp.exp(self.log_gamma[...]))
        h, last = diagonal_scan(
            decay[None, None], inputs, initial_state=_complex(state.units), **self.config.scan_options
        )
        # The kernel of C holds Re C above -Im C.
        y = self.c(_real(tap_read(h)).astype(x.dtype)) + x * self.skip[...].astype(x.dtype)
        return jax.nn.glu(self.out(jax.nn.gelu(y, approximate=False))), LRUState(_real(last))


def _complex(parts: Float[Array, "*rows I"]) -> jax.Array:
    """The complex array of these real parts and, after them, imaginary parts."""
    return jax.lax.complex(*jnp.split(parts, 2, axis=-1))


def _real(units: jax.Array) -> Float[Array, "*rows I"]:
    return jnp.concatenate([units.real, units.imag], axis=-1)


LRUConfig.mixer = LRU
