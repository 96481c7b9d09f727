"""The layer of Mamba-2 and of its log-linear form, which differ in their memory (Dao & Gu 2024, arXiv:2405.21060).

    z, (x, B, C), δ = x W_in                       z, x [E], E = expand · D;  B, C [G, N], N = d_state;  δ [H]
    (x, B, C)_t = silu(Σ_{i<W} w_i ⊙ (x, B, C)_{t-i} + b)
    Δ_t = softplus(δ_t + b_Δ)                      one step size per head
    S_t = exp(Δ_t A) S_{t-1} + B_t (Δ_t x_t)ᵀ      per head: S [N, P],  P = E / H,  scalar A = -exp(log A)
    y_t = S_tᵀ C_t + D x_t                         per head: scalar D;  the H / G heads of a group share B, C
    o_t = RMSNorm(y_t ⊙ silu(z_t)) W_out           normalised over the channels of a group

The recurrence is gated linear attention with queries C, keys B, values Δ x and one decay per head. Initial values
are those of the official code (`mamba_ssm/modules/mamba2.py`): A uniform in -16..-1, D = 1, w and b uniform in
±W^-1/2, and b_Δ such that Δ is log-uniform in 0.001..0.1; projections use the default of `Dense`. (transformers
starts from A = -(1..H) and b = 0.)
"""

import dataclasses
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.layers.parameters import NoWeightDecay, step_size_bias
from sandbox.models.mixer import Mixer, ScanConfig
from sandbox.option_checks import check_at_least, check_divides
from sandbox.scans import gated_linear_attention
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class SSDConfig(ScanConfig):
    """Options of a layer whose heads each keep matrices of `d_state` by `expand · d_model / num_heads`."""

    d_state: int = 16
    """The size knob: rows N of each head's matrix."""
    num_heads: int = 2
    """Heads, of width P = `expand · d_model / num_heads`; the paper's models have P = 64."""
    num_groups: int = 1
    """Groups of heads that share B and C."""
    expand: int = 2
    """Inner channels E as a multiple of `d_model`."""
    conv_width: int = 4
    """Width W of the short convolution in tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_at_least("mixer.num_heads", self.num_heads, 1)
        check_at_least("mixer.num_groups", self.num_groups, 1)
        check_at_least("mixer.expand", self.expand, 1)
        check_at_least("mixer.conv_width", self.conv_width, 1)
        check_divides("mixer.num_groups", self.num_groups, "mixer.num_heads", self.num_heads)

    def check_width(self, d_model: int) -> None:
        check_divides("mixer.num_heads", self.num_heads, "mixer.expand · model.d_model", self.expand * d_model)


class SSDState(NamedTuple):
    """The matrices of all heads, and the window of the short convolution over x, B and C."""

    memory: Annotated[Any, StateKind.memory]
    """A matrix per head `[B, H, K, V]`, or what else a mixer keeps. None: empty, and not kept, as in training."""
    conv: Annotated[Float[Array, "B S E"], StateKind.convolution]


class SSD(Mixer):
    """The Mamba-2 layer; its decode state is an `SSDState`."""

    config: SSDConfig

    def __init__(self, config: SSDConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        heads, groups = config.num_heads, config.num_groups
        channels, directions = config.expand * d_model, groups * config.d_state
        self.rows, self.columns = config.d_state, channels // heads
        self.project = Dense(d_model, 2 * channels + 2 * directions + heads, rngs=rngs)
        self.conv = CausalConv(channels + 2 * directions, config.conv_width, rngs=rngs)
        self.dt_bias = NoWeightDecay(step_size_bias(rngs.params(), heads))
        rates = jax.random.uniform(rngs.params(), (heads,), jnp.float32, 1.0, 16.0)
        self.log_rates = NoWeightDecay(jnp.log(rates))
        self.skip = NoWeightDecay(jnp.ones((heads,), jnp.float32))
        self.norm = RMSNorm((groups, channels // groups), epsilon=1e-5)
        self.out = Dense(channels, d_model, rngs=rngs)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> SSDState:
        return SSDState(
            memory=jnp.zeros((batch_size, self.config.num_heads, self.rows, self.columns), jnp.float32),
            conv=self.conv.init_state(batch_size, self.dtype),
        )

    def prefill(self, x: Activations, state: SSDState) -> tuple[Activations, SSDState]:
        heads, groups = self.config.num_heads, self.config.num_groups
        channels = heads * self.columns
        projected = self.project(x)
        gate, xbc, dt = jnp.split(projected, [channels, projected.shape[-1] - heads], axis=-1)
        xbc, window = self.conv.prefill(xbc, state.conv)
        u, b, c = jnp.split(jax.nn.silu(xbc), [channels, channels + groups * self.rows], axis=-1)
        u = u.reshape(*x.shape[:2], heads, self.columns)
        dt = dt.astype(jnp.float32)
        dt = jax.nn.softplus(dt + self.dt_bias[...])
        log_decay = -dt * jnp.exp(self.log_rates[...])
        keys, queries, values = self._of_each_head(b), self._of_each_head(c), u * dt.astype(u.dtype)[..., None]
        y, memory = self._remember(x, queries, keys, values, log_decay, state.memory)
        y = y + u * self.skip[...].astype(u.dtype)[:, None]
        y = y.reshape(gate.shape) * jax.nn.silu(gate)
        y = self.norm(y.reshape(*x.shape[:2], groups, -1)).reshape(gate.shape)
        return self.out(y), SSDState(memory, window)

    def _remember(
        self,
        x: Activations,
        q: Float[Array, "B T H N"],
        k: Float[Array, "B T H N"],
        v: Float[Array, "B T H V"],
        log_decay: Float[Array, "B T H"],
        memory: Any,
    ) -> tuple[Float[Array, "B T H V"], Any]:
        """What is read from the memory, and the memory after it."""
        decay = log_decay[..., None]
        return gated_linear_attention(q, k, v, decay, initial_state=memory, **self.config.scan_options)

    def _of_each_head(self, directions: Float[Array, "B T I"]) -> Float[Array, "B T H N"]:
        leading, groups = directions.shape[:2], self.config.num_groups
        shared = directions.reshape(*leading, groups, 1, self.rows)
        shared = jnp.broadcast_to(shared, (*leading, groups, self.config.num_heads // groups, self.rows))
        return shared.reshape(*leading, self.config.num_heads, self.rows)
