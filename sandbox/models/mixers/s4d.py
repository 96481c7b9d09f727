"""S4D, the diagonal state-space model (Gu, Gupta, Goel & Ré 2022, arXiv:2206.11893).

    a = exp(Δ A),  b = (a - 1) / A                 discretization=zoh (zero-order hold), for B = 1
    a = (1 + Δ A / 2) / (1 - Δ A / 2),  b = Δ / (1 - Δ A / 2)      discretization=bilinear
    h_t = a h_{t-1} + b x_t,   y_t = 2 Re(C h_t) + D x_t     per channel: A, C, h complex [N/2], real Δ and D
    o_t = glu(gelu(y_t) W + c)                     mixes the channels

Each complex mode also represents its conjugate (section 3), hence 2 Re. A channel keeps N = d_state floats, which
are N/2 complex modes, as in the paper.

Initial values are those of the official minimal layer (state-spaces/s4, `models/s4/s4d.py`): C complex standard
normal, D standard normal, and Δ log-uniform in 0.001..0.1; B = 1 is not trained, as it would only rescale C.
A = -exp(ρ) + i ω starts with real part -1/2 and, for n = 0 .. N/2 - 1 (section 4):

| initialization | imaginary part |
| --- | --- |
| lin | π n |
| inv | N/π (N / (2n + 1) - 1) |
| legs | the positive eigenvalues of the normal part of the HiPPO-LegS matrix |

That code trains Δ and A at a smaller learning rate, 0.001; here all parameters share one. Training computes the
outputs as a convolution with the kernel 2 Re Σ_n C_n b_n a_n^t, without storing the states. Decoding, and training
with a named `implementation`, run the recurrence.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.diagonal_ssm import DiagonalSSM, Discretization, Initialization, check_even_d_state
from sandbox.models.mixer import Card, Mixer, ScanConfig
from sandbox.models.segments import open_segments
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values


@dataclasses.dataclass(unsafe_hash=True)
class S4DConfig(ScanConfig):
    """Options of S4D: each channel drives complex modes with learned frequencies and decay rates."""

    card: ClassVar[Card] = Card(
        equation="h_t = exp(Δ A) ⊙ h_{t-1} + (exp(Δ A) - 1) / A x_t; y_t = 2 Re(C·h_t) + D x_t, A complex",
        decay="learned, complex, per channel and mode",
        update="add",
        paper="Gu et al. 2022, arXiv:2206.11893",
        d_state="floats N per channel",
    )

    d_state: int = 64
    """The size knob: floats N that each channel keeps, two per complex mode."""
    initialization: Initialization = Initialization.lin
    """Initial frequencies of the modes."""
    discretization: Discretization = Discretization.zoh
    """How the continuous-time system becomes a recurrence."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_even_d_state(self.d_state)


class S4DState(NamedTuple):
    """The modes of every channel: the real parts, then the imaginary parts."""

    modes: Annotated[Float[Array, "B D N"], StateKind.memory]


class S4D(Mixer):
    """The S4D layer; its decode state is an `S4DState`."""

    config: S4DConfig

    def __init__(self, config: S4DConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.ssm = DiagonalSSM(
            d_model,
            config.d_state,
            initialization=config.initialization,
            discretization=config.discretization,
            rngs=rngs,
        )
        self.out = Dense(d_model, 2 * d_model, use_bias=True, rngs=rngs)

    def __call__(self, x: Activations) -> Activations:
        if self.config.implementation != "auto" or open_segments() is not None:
            return super().__call__(x)
        return self._mix(tap_read(self.ssm(tap_values(x))))

    def init_state(self, batch_size: int, max_len: int) -> S4DState:
        return S4DState(self.ssm.init_state(batch_size))

    def prefill(self, x: Activations, state: S4DState) -> tuple[Activations, S4DState]:
        y, modes = self.ssm.prefill(tap_values(x), state.modes, **self.config.scan_options)
        return self._mix(tap_read(y)), S4DState(modes)

    def _mix(self, y: Activations) -> Activations:
        return jax.nn.glu(self.out(jax.nn.gelu(y, approximate=False)))


S4DConfig.mixer = S4D
