"""The layer of the mixers with the delta rule, which differ in their decay, their update and their output gate.

    (q, k, v)_t = silu(Σ_{i<W} w_i ⊙ (x W_qkv)_{t-i})          a short convolution of each channel, no bias
    q, k        = q / ‖q‖ / √K, k / ‖k‖                        per head
    β_t         = σ(x_t W_β), or twice that                    one scalar per head
    S_t         = (I - β_t k_t k_tᵀ) diag(α_t) S_{t-1} + β_t k_t v_tᵀ ,   o_t = S_tᵀ q_t      S [K, V]
    y_t         = (RMSNorm(o_t) ⊙ gate_t) W_O                  per head, with one scale for all

With unit keys, I - β k kᵀ has one eigenvalue 1 - β: in 0..1, or in -1..1 if β reaches 2 (Grazzi et al. 2024,
arXiv:2411.12537), which lets a state alternate and so count modulo two.

Parametrisation and initial decays follow the authors' code (flash-linear-attention, `fla/layers`), but
projections use the default of `Dense` instead of N(0, 0.02²), and K is `d_state` instead of a share of the width.
"""

import dataclasses
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense, LowRank
from sandbox.models.layers.gates import step_size_decay
from sandbox.models.layers.norms import RMSNorm, l2_normalize
from sandbox.models.layers.parameters import NoWeightDecay, step_size_bias
from sandbox.models.mixer import MatrixMemoryConfig, Mixer
from sandbox.option_checks import check_at_least, check_divides
from sandbox.scans import gated_delta_rule
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class DeltaRuleConfig(MatrixMemoryConfig):
    """Options of a mixer that writes by the delta rule."""

    conv_width: int = 4
    """Width in tokens of the short convolution over queries, keys and values."""
    negative_eigenvalues: bool = False
    """Range of β: 0..2 if true, else 0..1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.conv_width", self.conv_width, 1)

    @property
    def value_heads(self) -> int:
        """Number of value heads, each with its own memory; several may share a head of queries and keys."""
        return self.num_heads

    @property
    def value_expansion(self) -> int:
        """Channels of all values together, as a multiple of the width."""
        return 1

    @property
    def writes_per_token(self) -> int:
        """Pairs of a key and a value that each token writes, one after the other."""
        return 1

    @property
    def step_sizes(self) -> int:
        """Number of step sizes β of a token: one for each write of each value head."""
        return self.writes_per_token * self.value_heads


@dataclasses.dataclass(unsafe_hash=True)
class ScalarDecayConfig(DeltaRuleConfig):
    """Options of a mixer with the delta rule whose heads decay, and whose values may be wider than its inputs."""

    num_value_heads: int | None = None
    """Number of value heads, a multiple of `num_heads` (heads of queries and keys). None: `num_heads`."""
    expand_v: int = 2
    """Channels of all value heads together, as a multiple of the width."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.num_value_heads", self.value_heads, 1)
        check_at_least("mixer.expand_v", self.expand_v, 1)
        check_divides("mixer.num_heads", self.num_heads, "mixer.num_value_heads", self.value_heads)

    @property
    def value_heads(self) -> int:
        """Number of value heads, each with its own β, decay and memory."""
        return self.num_heads if self.num_value_heads is None else self.num_value_heads

    @property
    def value_expansion(self) -> int:
        """Channels of all values together, as a multiple of the width."""
        return self.expand_v

    def check_width(self, d_model: int) -> None:
        """Refuses a width whose values do not split into their heads."""
        name = "mixer.num_heads" if self.num_value_heads is None else "mixer.num_value_heads"
        check_divides(name, self.value_heads, "mixer.expand_v · model.d_model", self.expand_v * d_model)


@dataclasses.dataclass(unsafe_hash=True)
class ChannelDecayConfig(DeltaRuleConfig):
    """Options of a mixer with the delta rule whose rows of memory decay, each by its own gate."""

    gate_rank: int | None = None
    """Channels of the bottlenecks. None: d_model / num_heads, the channels of a value head."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gate_rank is not None:
            check_at_least("mixer.gate_rank", self.gate_rank, 1)


class DeltaRuleState(NamedTuple):
    """The memory, a matrix per head or its levels, and the last inputs of the short convolution."""

    memory: Annotated[Any, StateKind.memory]
    """A matrix per head `[B, H, K, V]`, or what else a mixer keeps. None: empty, and not kept, as in training."""
    conv: Annotated[Float[Array, "B S E"], StateKind.convolution]


class DeltaRule(Mixer):
    """Base of the mixers with the delta rule, which may define `_log_decay`, `_gate` and `_remember`."""

    config: DeltaRuleConfig

    def __init__(self, config: DeltaRuleConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.value_heads = value_heads = config.value_heads
        values = config.value_expansion * d_model
        self.rows, self.columns = config.d_state, values // value_heads
        writes = config.writes_per_token
        channels = (1 + writes) * config.num_heads * config.d_state + writes * values
        self.qkv = Dense(d_model, channels, rngs=rngs)
        self.conv = CausalConv(channels, config.conv_width, use_bias=False, rngs=rngs)
        self.beta = Dense(d_model, config.step_sizes, rngs=rngs)
        self.norm = RMSNorm(self.columns, epsilon=1e-5)
        self.out = Dense(values, d_model, rngs=rngs)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> DeltaRuleState:
        return DeltaRuleState(
            memory=jnp.zeros((batch_size, self.value_heads, self.rows, self.columns), jnp.float32),
            conv=self.conv.init_state(batch_size, self.dtype),
        )

    def prefill(self, x: Activations, state: DeltaRuleState) -> tuple[Activations, DeltaRuleState]:
        qkv, window = self.conv.prefill(self.qkv(x), state.conv)
        read, memory = self._remember(x, jax.nn.silu(qkv), state.memory)
        read = self.norm(read).reshape(*x.shape[:2], -1)
        gate = self._gate(x)
        return self.out(read if gate is None else read * gate), DeltaRuleState(memory, window)

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T I"], memory: Any
    ) -> tuple[Float[Array, "B T H V"], Any]:
        """What is read from the memory, and the memory after it; `qkv` are queries, keys and values, convolved."""
        q, k, v = self._split(qkv)
        return gated_delta_rule(
            self._unit_vectors(q) * self.rows**-0.5,
            self._unit_vectors(k),
            v,
            self._beta(x),
            self._log_decay(x),
            initial_state=memory,
            **self.config.scan_options,
        )

    def _split(
        self, qkv: Float[Array, "B T I"]
    ) -> tuple[Float[Array, "B T O"], Float[Array, "B T P"], Float[Array, "B T N V"]]:
        """Queries and keys of all heads, and values by head, those of a token's writes one after the other."""
        keys = self.config.num_heads * self.rows
        q, k, v = jnp.split(qkv, [keys, (1 + self.config.writes_per_token) * keys], axis=-1)
        return q, k, v.reshape(*v.shape[:2], -1, self.columns)

    def _beta(self, x: Activations) -> Float[Array, "B T N"]:
        """The step size of each write, in 0..1 or 0..2."""
        beta = jax.nn.sigmoid(self.beta(x).astype(jnp.float32))
        return 2 * beta if self.config.negative_eigenvalues else beta

    def _unit_vectors(self, x: Float[Array, "B T I"]) -> Float[Array, "B T H K"]:
        """Queries or keys of length 1, repeated for each value head of their group."""
        x = l2_normalize(x.reshape(*x.shape[:2], -1, self.rows))
        return jnp.repeat(x, self.value_heads // self.config.num_heads, axis=2)

    def _log_decay(self, x: Activations) -> Float[Array, "B T H R"] | None:
        """log α, per head (R = 1) or per row of memory (R = K). None: α = 1."""
        return None

    def _gate(self, x: Activations) -> Float[Array, "B T I"] | None:
        """The factor on the normalised output of the memory. None: 1."""
        return None


class ScalarDecayDeltaRule(DeltaRule):
    """The delta rule on a memory whose heads decay, each by α_t = exp(-A softplus(x_t W_Δ + b_Δ)).

    A > 0 starts uniform in 0..16 (from 0.01 on, as in Qwen3-Next, so that log A is finite), softplus(b_Δ)
    log-uniform in 0.001..0.1.
    """

    def __init__(self, config: DeltaRuleConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        heads = config.value_heads
        self.dt = Dense(d_model, heads, rngs=rngs)
        self.dt_bias = NoWeightDecay(step_size_bias(rngs.params(), heads))
        rates = jax.random.uniform(rngs.params(), (heads,), jnp.float32, 0.01, 16.0)
        self.log_rates = NoWeightDecay(jnp.log(rates))
        self.gate = Dense(d_model, config.value_expansion * d_model, rngs=rngs)

    def _log_decay(self, x: Activations) -> Float[Array, "B T H 1"]:
        return step_size_decay(self.dt(x), self.dt_bias[...], self.log_rates[...])[..., None]

    def _gate(self, x: Activations) -> Float[Array, "B T I"]:
        return jax.nn.silu(self.gate(x))


class ChannelDecayDeltaRule(DeltaRule):
    """The delta rule on a memory whose rows decay, each by its element of α_t = exp(-A softplus(x_t W₁ W₂ + b_Δ)).

    A is a scalar per head and starts uniform in 1..16; softplus(b_Δ), with one element per row, starts log-uniform
    in 0.001..0.1. Decay and output gate have bottlenecks of `gate_rank` channels.
    """

    def __init__(self, config: ChannelDecayConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        heads, rows = config.num_heads, config.d_state
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        rank = d_model // heads if config.gate_rank is None else config.gate_rank
        self.dt = LowRank(d_model, rank, heads * rows, rngs=rngs)
        self.dt_bias = NoWeightDecay(step_size_bias(rngs.params(), heads * rows).reshape(heads, rows))
        rates = jax.random.uniform(rngs.params(), (heads, 1), jnp.float32, 1.0, 16.0)
        self.log_rates = NoWeightDecay(jnp.log(rates))
        self.gate = LowRank(d_model, rank, d_model, rngs=rngs)

    def _log_decay(self, x: Activations) -> Float[Array, "B T H K"]:
        dt = self.dt(x).reshape(*x.shape[:2], *self.dt_bias.shape)
        return step_size_decay(dt, self.dt_bias[...], self.log_rates[...])

    def _gate(self, x: Activations) -> Activations:
        return jax.nn.sigmoid(self.gate(x))
