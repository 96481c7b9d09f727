"""Mamba, the selective state-space model S6 (Gu & Dao 2023, arXiv:2312.00752, sections 3.2 to 3.4, algorithm 2).

    u, z = x W_in                      E = expand · D channels each
    u_t  = silu(Σ_{i<W} w_i ⊙ u_{t-i} + b)
    δ, B, C = u_t W_x                  widths R = dt_rank, N = d_state, N; Jamba RMS-normalises all three
    Δ_t  = softplus(δ_t W_Δ + b_Δ)     one step size per channel
    h_t  = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t,    y_t = C_t·h_t + D ⊙ u_t      h [E, N],  A = -exp(log A) [E, N]
    o_t  = (y_t ⊙ silu(z_t)) W_out

Initial values are those of the official code (`mamba_ssm/modules/mamba_simple.py`): A = -(1..N), D = 1, W_Δ
uniform in ±R^-1/2, w and b in ±W^-1/2, and b_Δ such that Δ is log-uniform in 0.001..0.1; other projections use the
default of `Dense`. (transformers starts b at zero.)
As in that code, B is discretised by Euler's rule; equation 4 of the paper is a zero-order hold.
"""

import dataclasses
import math
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.layers.parameters import FAN_IN_UNIFORM, NoWeightDecay, step_size_bias
from sandbox.models.mixer import Card, Mixer, ScanConfig
from sandbox.option_checks import check_at_least
from sandbox.scans import selective_scan
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class MambaConfig(ScanConfig):
    """Options of Mamba: each channel has `d_state` state variables, a step size and directions from the data."""

    card: ClassVar[Card] = Card(
        equation="h_t = exp(Δ_t A) ⊙ h_{t-1} + Δ_t B_t x_t; y_t = C_t·h_t + D ⊙ x_t",
        decay="data-dependent, per channel and state",
        update="add",
        paper="Gu & Dao 2023, arXiv:2312.00752",
        d_state="floats N per channel",
    )

    d_state: int = 16
    """The size knob: floats N that each channel keeps."""
    expand: int = 2
    """Inner channels E as a multiple of `d_model`."""
    conv_width: int = 4
    """Width W of the short convolution in tokens."""
    dt_rank: int | None = None
    """Rank R of the projection to step sizes. None: `d_model / 16`, rounded up."""
    inner_norms: bool = False
    """Whether to RMS-normalise δ, B and C, as Jamba does (Lieber et al. 2024, arXiv:2403.19887, section 6.4)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_at_least("mixer.expand", self.expand, 1)
        check_at_least("mixer.conv_width", self.conv_width, 1)
        if self.dt_rank is not None:
            check_at_least("mixer.dt_rank", self.dt_rank, 1)


class MambaState(NamedTuple):
    """The state h of every channel, and the window of the short convolution."""

    memory: Annotated[Float[Array, "B E N"], StateKind.memory]
    conv: Annotated[Float[Array, "B S E"], StateKind.convolution]


class Mamba(Mixer):
    """The Mamba layer; its decode state is a `MambaState`."""

    config: MambaConfig

    def __init__(self, config: MambaConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        channels, states = config.expand * d_model, config.d_state
        rank = math.ceil(d_model / 16) if config.dt_rank is None else config.dt_rank
        self.rows, self.columns, self.rank = states, channels, rank
        self.project = Dense(d_model, 2 * channels, rngs=rngs)
        self.conv = CausalConv(channels, config.conv_width, rngs=rngs)
        self.select = Dense(channels, rank + 2 * states, rngs=rngs)
        self.dt_norm = RMSNorm(rank) if config.inner_norms else None
        self.b_norm = RMSNorm(states) if config.inner_norms else None
        self.c_norm = RMSNorm(states) if config.inner_norms else None
        self.dt = Dense(rank, channels, kernel_init=FAN_IN_UNIFORM, rngs=rngs)
        self.dt_bias = NoWeightDecay(step_size_bias(rngs.params(), channels))
        rates = 1.0 + jnp.arange(states, dtype=jnp.float32)
        self.log_rates = NoWeightDecay(jnp.broadcast_to(jnp.log(rates), (channels, states)))
        self.skip = NoWeightDecay(jnp.ones((channels,), jnp.float32))
        self.out = Dense(channels, d_model, rngs=rngs)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> MambaState:
        return MambaState(
            memory=jnp.zeros((batch_size, self.columns, self.rows), jnp.float32),
            conv=self.conv.init_state(batch_size, self.dtype),
        )

    def prefill(self, x: Activations, state: MambaState) -> tuple[Activations, MambaState]:
        u, gate = jnp.split(self.project(x), 2, axis=-1)
        u, window = self.conv.prefill(u, state.conv)
        u = jax.nn.silu(u)
        dt, b, c = self._selection(u)
        y, memory = selective_scan(
            u, dt, -jnp.exp(self.log_rates[...]), b, c, initial_state=state.memory, **self.config.scan_options
        )
        y = y + u * self.skip[...].astype(u.dtype)
        return self.out(y * jax.nn.silu(gate)), MambaState(memory, window)

    def _selection(
        self, u: Float[Array, "B T E"]
    ) -> tuple[Float[Array, "B T E"], Float[Array, "B T N"], Float[Array, "B T N"]]:
        dt, b, c = jnp.split(self.select(u), [self.rank, self.rank + self.rows], axis=-1)
        if self.dt_norm is not None and self.b_norm is not None and self.c_norm is not None:
            dt, b, c = self.dt_norm(dt), self.b_norm(b), self.c_norm(c)
        dt = self.dt(dt.astype(jnp.float32))
        return jax.nn.softplus(dt + self.dt_bias[...]), b, c


MambaConfig.mixer = Mamba
