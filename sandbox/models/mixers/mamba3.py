"""Mamba-3 (arXiv:2603.15569, section 3): trapezoid inputs, a state that turns, and several inputs at once.

    z, x, B, C, δ, a, l, ω = x_in W_in             z, x [E];  B, C [R, N], N = d_state;  δ, a, l [H];  ω [A]
    Δ_t = softplus(δ_t + b_Δ) ,  α_t = exp(-Δ_t softplus(a_t)) ,  λ_t = σ(l_t)       per head
    φ_t = φ_{t-1} + π Δ_t tanh(ω_t)                                                  angles [H, A], A = d_state / 4
    k_t = rot_φt(RMSNorm(B_t) + b_B) ,  q_t = rot_φt(RMSNorm(C_t) + b_C)             A pairs of channels turn
    S_t = α_t S_{t-1} + (1 - λ_t) Δ_t α_t k_{t-1} v_{t-1}ᵀ + λ_t Δ_t k_t v_tᵀ        S [N, P],  P = E / H
    y_t = (S_tᵀ q_t + D v_t) ⊙ silu(z_t) ,   o_t = y_t W_out

The input enters by the trapezoid rule, where Mamba-2 has λ = 1 and no past input; a state whose rows turn can
count, as complex eigenvalues can. With R = `rank` > 1 each head writes R outer products and reads R times: v^r
= m_x^r ⊙ x, z^r = m_z^r ⊙ z, and the output is Σ_r m_o^r ⊙ y^r. B and C are shared by all heads.

The recurrence is gated linear attention over two tokens for each: one writes the last input, the other this one.
Initial values are those of the official code (`mamba_ssm/modules/mamba3.py`): b_B, b_C and D are 1, b_Δ is such
that Δ is log-uniform in 0.001..0.1, m_x and m_o are 1/R and m_z is 1; projections use the default of `Dense`. The
rate of decay is softplus(a), as in the paper and in flash-linear-attention.
"""

import dataclasses
import itertools
import math
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.layers.parameters import NoWeightDecay, step_size_bias
from sandbox.models.layers.rotary import rotate_by, turned_so_far
from sandbox.models.mixer import Card, Mixer, ScanConfig
from sandbox.models.segments import open_segments, token_before
from sandbox.option_checks import check_at_least, check_divides
from sandbox.scans import gated_linear_attention, one_after_the_other
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values

_SLOWEST = 1e-4  # the smallest rate of decay, as in the official code


@dataclasses.dataclass(unsafe_hash=True)
class Mamba3Config(ScanConfig):
    """Options of Mamba-3, whose heads each keep a matrix of `d_state` by `expand · d_model / num_heads`."""

    card: ClassVar[Card] = Card(
        equation="S_t = α_t (S_{t-1} + (1-λ_t) Δ_t k_{t-1} v_{t-1}ᵀ) + λ_t Δ_t k_t v_tᵀ; o_t = S_tᵀ q_t",
        decay="data-dependent, per head",
        update="add, trapezoid",
        paper="arXiv:2603.15569",
        d_state="rows N of each head's matrix",
    )

    d_state: int = 16
    """The size knob: rows N of each head's matrix; a multiple of 4, as half of the rows turn in pairs."""
    num_heads: int = 2
    """Heads, of width P = `expand · d_model / num_heads`; the paper's models have P = 64."""
    expand: int = 2
    """Inner channels E as a multiple of `d_model`."""
    rank: int = 1
    """Inputs and outputs R of a head at each token; the paper's multi-input models have 4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_at_least("mixer.num_heads", self.num_heads, 1)
        check_at_least("mixer.expand", self.expand, 1)
        check_at_least("mixer.rank", self.rank, 1)

    @property
    def angles(self) -> int:
        """Pairs of rows that turn."""
        return self.d_state // 4

    def check_width(self, d_model: int) -> None:
        check_divides("mixer.num_heads", self.num_heads, "mixer.expand · model.d_model", self.expand * d_model)


class Mamba3State(NamedTuple):
    """The matrices of all heads, the angles by which they have turned, and the last keys and values."""

    memory: Annotated[Float[Array, "B H N P"], StateKind.memory]
    angle: Annotated[Float[Array, "B H A"], StateKind.memory]
    key: Annotated[Float[Array, "B R H N"], StateKind.token_shift]
    value: Annotated[Float[Array, "B H P"], StateKind.token_shift]


class Mamba3(Mixer):
    """The Mamba-3 layer; its decode state is a `Mamba3State`."""

    config: Mamba3Config

    def __init__(self, config: Mamba3Config, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        heads, rank, rows = config.num_heads, config.rank, config.d_state
        channels = config.expand * d_model
        self.rows, self.columns = rows, channels // heads
        self.parts = [channels, channels, rank * rows, rank * rows, heads, heads, heads, config.angles]
        self.project = Dense(d_model, sum(self.parts), rngs=rngs)
        self.dt_bias = NoWeightDecay(step_size_bias(rngs.params(), heads))
        self.key_norm, self.query_norm = RMSNorm(rows, epsilon=1e-5), RMSNorm(rows, epsilon=1e-5)
        self.key_bias = NoWeightDecay(jnp.ones((rank, heads, rows), jnp.float32))
        self.query_bias = NoWeightDecay(jnp.ones((rank, heads, rows), jnp.float32))
        self.skip = NoWeightDecay(jnp.ones((heads,), jnp.float32))
        mixed = (rank, heads, self.columns)
        self.mix_values = NoWeightDecay(jnp.full(mixed, 1 / rank, jnp.float32)) if rank > 1 else None
        self.mix_gates = NoWeightDecay(jnp.ones(mixed, jnp.float32)) if rank > 1 else None
        self.mix_outputs = NoWeightDecay(jnp.full(mixed, 1 / rank, jnp.float32)) if rank > 1 else None
        self.out = Dense(channels, d_model, rngs=rngs)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> Mamba3State:
        heads, rank = self.config.num_heads, self.config.rank
        return Mamba3State(
            memory=jnp.zeros((batch_size, heads, self.rows, self.columns), jnp.float32),
            angle=jnp.zeros((batch_size, heads, self.config.angles), jnp.float32),
            key=jnp.zeros((batch_size, rank, heads, self.rows), self.dtype),
            value=jnp.zeros((batch_size, heads, self.columns), self.dtype),
        )

    def prefill(self, x: Activations, state: Mamba3State) -> tuple[Activations, Mamba3State]:
        ends = list(itertools.accumulate(self.parts))[:-1]
        z, u, b, c, dt, rate, share, turn = jnp.split(self.project(x), ends, axis=-1)
        by_head = (*x.shape[:2], self.config.num_heads, self.columns)
        u = tap_values(u.reshape(by_head))
        dt = jax.nn.softplus(dt.astype(jnp.float32) + self.dt_bias[...])
        log_decay = -dt * jnp.maximum(jax.nn.softplus(rate.astype(jnp.float32)), _SLOWEST)
        now = jax.nn.sigmoid(share.astype(jnp.float32)) * dt
        turned = math.pi * dt[..., None] * jnp.tanh(turn.astype(jnp.float32))[:, :, None]
        angle, last_angle = turned_so_far(turned, state.angle)
        keys = self._directions(b, self.key_norm, self.key_bias, angle)
        queries = self._directions(c, self.query_norm, self.query_bias, angle)
        read, memory = self._remember(queries, keys, u, (dt - now, now), log_decay, state)
        tap_read(read.sum(axis=2))
        y = read + self.skip[...].astype(u.dtype)[:, None] * self._several(u, self.mix_values)
        y = y * jax.nn.silu(self._several(z.reshape(by_head), self.mix_gates))
        y = y if self.mix_outputs is None else y * self.mix_outputs[...].astype(y.dtype)
        y = y.sum(axis=2).reshape(*x.shape[:2], -1)
        return self.out(y), Mamba3State(
            memory, last_angle, keys[:, -1].astype(self.dtype), u[:, -1].astype(self.dtype)
        )

    def _directions(
        self, x: Float[Array, "B T I"], norm: RMSNorm, bias: nnx.Param, angle: Float[Array, "B T H A"]
    ) -> Float[Array, "B T R H N"]:
        """Keys or queries of all heads, normalised, moved and turned."""
        normal = norm(x.reshape(*x.shape[:2], self.config.rank, 1, self.rows))
        moved = normal + bias[...].astype(x.dtype)
        turning = 2 * self.config.angles
        turned = rotate_by(moved[..., :turning], angle[:, :, None])
        return jnp.concatenate([turned, moved[..., turning:]], axis=-1)

    def _several(self, x: Float[Array, "B T H P"], mix: nnx.Param | None) -> Float[Array, "B T R H P"]:
        """The values or gates of the inputs of a head: one, or R that are scaled apart."""
        return x[:, :, None] if mix is None else x[:, :, None] * mix[...].astype(x.dtype)

    def _remember(
        self,
        q: Float[Array, "B T R H N"],
        k: Float[Array, "B T R H N"],
        values: Float[Array, "B T H P"],
        step_sizes: tuple[Float[Array, "B T H"], Float[Array, "B T H"]],
        log_decay: Float[Array, "B T H"],
        state: Mamba3State,
    ) -> tuple[Float[Array, "B T R H P"], Float[Array, "B H N P"]]:
        """What each query reads, and the memory after it; `step_sizes` are those of the last and of this input.

        A token is 3R - 1 tokens of the scan: R that write the last input, of which the first decays, R that write
        this one, and the last of these and R - 1 more are read.
        """
        batch, length, rank = q.shape[:3]
        of_last, of_this = step_sizes

        def written(values: Float[Array, "B T H P"], size: Float[Array, "B T H"]) -> Float[Array, "B T R H P"]:
            return self._several(values * size.astype(values.dtype)[..., None], self.mix_values)

        options = self.config.scan_options | {"segment_ids": open_segments(steps=3 * rank - 1)}
        last_values = written(token_before(values, state.value), of_last * jnp.exp(log_decay))
        read, memory = gated_linear_attention(
            one_after_the_other(q, before=2 * rank - 1),
            one_after_the_other(jnp.concatenate([token_before(k, state.key), k], axis=2), after=rank - 1),
            one_after_the_other(jnp.concatenate([last_values, written(values, of_this)], axis=2), after=rank - 1),
            one_after_the_other(log_decay[:, :, None, :, None], after=3 * rank - 2),
            initial_state=state.memory,
            **options,
        )
        return read.reshape(batch, length, -1, *read.shape[2:])[:, :, 2 * rank - 1 :], memory


Mamba3Config.mixer = Mamba3
