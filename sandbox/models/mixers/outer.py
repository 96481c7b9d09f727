"""The controlled mixer: an outer-product memory whose decay and update vary while all else is held equal.

    S_t = diag(γ_t) S_{t-1} + k_t v_tᵀ                            update=add    (linear attention, RetNet, GLA)
    S_t = (I - β_t k_t k_tᵀ) diag(γ_t) S_{t-1} + β_t k_t v_tᵀ     update=delta  (DeltaNet, Gated DeltaNet, KDA)
    o_t = S_tᵀ q_t

The decays are nested, so a difference between two of them is due to what the larger one adds:

| decay | log γ_t | also in |
| --- | --- | --- |
| none | 0 | linear attention (Katharopoulos et al. 2020) |
| fixed | -log 2 / τ_h, τ_h the half-life of head h | RetNet (Sun et al. 2023, eq. 8) |
| learned_scalar | logsigmoid(b), b [H, 1], initialised to `fixed` | |
| learned_channel | logsigmoid(b), b [H, K] | RWKV-5 |
| data_scalar | logsigmoid(b + x_t W), b [H, 1] | Mamba-2, Gated DeltaNet |
| data_channel | logsigmoid(b + x_t W), b [H, K] | GLA, RWKV-6, KDA |
"""

import dataclasses
import enum
import math
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.feature_maps import ELEMENTWISE, FeatureMap
from sandbox.models.layers.gates import biased_logits
from sandbox.models.layers.norms import RMSNorm, l2_normalize
from sandbox.models.layers.parameters import NoWeightDecay, retention_decays
from sandbox.models.mixer import Card, MatrixMemoryConfig, Mixer
from sandbox.option_checks import check_at_least
from sandbox.scans import gated_delta_rule, gated_linear_attention
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


class Decay(enum.Enum):
    """How the memory decays; the table in the module's docstring has the formulas."""

    none = "none"
    fixed = "fixed"
    learned_scalar = "learned_scalar"
    learned_channel = "learned_channel"
    data_scalar = "data_scalar"
    data_channel = "data_channel"


class Update(enum.Enum):
    """Whether a value is added to the memory, or replaces the value that its key recalls (delta rule)."""

    add = "add"
    delta = "delta"


@dataclasses.dataclass(unsafe_hash=True)
class OuterConfig(MatrixMemoryConfig):
    """Options of the controlled mixer, whose heads each keep a matrix of `d_state` by `d_model / num_heads`."""

    card: ClassVar[Card] = Card(
        equation="S_t = diag(γ_t) S_{t-1} + k_t v_tᵀ, or by the delta rule; o_t = S_tᵀ q_t",
        decay="a knob: none; fixed; learned or data-dependent, per head or per channel",
        update="a knob: add, delta rule",
        paper="the controlled experiment of this project",
        d_state="rows K of each head's matrix",
    )

    num_heads: int = 1
    decay: Decay = Decay.none
    half_life: float | None = None
    """Half-life in tokens at which every decay begins, of the first head; each further head's is twice as long.
    None: RetNet's decays 1 - 2^(-5-h), which is 21.8 tokens for the first head."""
    update: Update = Update.add
    feature_map: FeatureMap = FeatureMap.identity
    """Feature map of queries and keys: an elementwise one."""
    normalize_qk: bool = True
    """Whether to scale queries and keys to norm 1 after the feature map. The delta rule is unstable without it."""
    short_conv: int = 0
    """Width in tokens of a causal convolution over queries, keys and values; 0: none."""
    output_norm: bool = True
    """Whether to RMS-normalise the output of each head."""
    output_gate: bool = False
    """Whether to multiply the output of the heads by silu(x W)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.short_conv", self.short_conv, 0)
        if self.half_life is not None and not 0 < self.half_life < math.inf:
            raise ValueError(f"mixer.half_life={self.half_life} must be a positive number of tokens, or null")
        if self.feature_map not in ELEMENTWISE:
            allowed = ", ".join(feature_map.name for feature_map in ELEMENTWISE)
            raise ValueError(f"mixer.feature_map={self.feature_map.name} must be one of {allowed}")
        if self.update is Update.delta and not self.normalize_qk:
            raise ValueError("mixer.normalize_qk=false is unstable with mixer.update=delta: use true")

    @property
    def first_log_decays(self) -> np.ndarray:
        """The log of the decay of each head at the start, [H]."""
        if self.half_life is None:
            return np.log(retention_decays(self.num_heads))
        return -math.log(2) / (self.half_life * 2.0 ** np.arange(self.num_heads))


class OuterState(NamedTuple):
    """The matrices of all heads, and the window of the short convolution, if any."""

    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]
    conv: Annotated[Float[Array, "B S O"], StateKind.convolution] | None


class Outer(Mixer):
    """The controlled mixer; its decode state is an `OuterState`."""

    config: OuterConfig

    def __init__(self, config: OuterConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.rule = "gated_linear_attention" if config.update is Update.add else "gated_delta_rule"
        self.rows, self.columns = config.d_state, d_model // config.num_heads
        heads, rows = config.num_heads, config.d_state
        self.qkv = Dense(d_model, heads * (2 * rows + self.columns), rngs=rngs)
        self.conv = (
            CausalConv(heads * (2 * rows + self.columns), config.short_conv, rngs=rngs)
            if config.short_conv
            else None
        )
        bias, from_x = None, None
        if config.decay not in (Decay.none, Decay.fixed):
            rates = rows if config.decay in (Decay.learned_channel, Decay.data_channel) else 1
            log_decays = np.broadcast_to(config.first_log_decays[:, None], (heads, rates))
            bias = NoWeightDecay(jnp.asarray(log_decays - np.log(-np.expm1(log_decays)), jnp.float32))
            if config.decay in (Decay.data_scalar, Decay.data_channel):
                from_x = Dense(d_model, heads * rates, rngs=rngs)
        self.decay_bias = bias
        self.decay_from_x = from_x
        self.beta = Dense(d_model, heads, use_bias=True, rngs=rngs) if config.update is Update.delta else None
        self.norm = RMSNorm(self.columns) if config.output_norm else None
        self.gate = Dense(d_model, d_model, rngs=rngs) if config.output_gate else None
        self.out = Dense(d_model, d_model, rngs=rngs)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> OuterState:
        memory = (batch_size, self.config.num_heads, self.config.d_state, self.columns)
        return OuterState(
            memory=jnp.zeros(memory, jnp.float32),
            conv=None if self.conv is None else self.conv.init_state(batch_size, self.dtype),
        )

    def prefill(self, x: Activations, state: OuterState) -> tuple[Activations, OuterState]:
        qkv, window = self.qkv(x), state.conv
        if self.conv is not None and window is not None:
            qkv, window = self.conv.prefill(qkv, window)
        y, memory = self._remember(x, qkv, state.memory)
        return y, OuterState(memory, window)

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T O"], memory: Float[Array, "B H K V"]
    ) -> tuple[Activations, Float[Array, "B H K V"]]:
        config, (batch, length, _) = self.config, x.shape
        keys = config.num_heads * config.d_state
        q, k, v = (
            part.reshape(batch, length, config.num_heads, -1)
            for part in (qkv[..., :keys], qkv[..., keys : 2 * keys], qkv[..., 2 * keys :])
        )
        q, k = self._features(q), self._features(k)
        scan: dict[str, Any] = {"initial_state": memory} | config.scan_options
        if self.beta is None:
            read, memory = gated_linear_attention(q, k, v, self._log_decay(x), **scan)
        else:
            beta = jax.nn.sigmoid(self.beta(x).astype(jnp.float32))
            read, memory = gated_delta_rule(q, k, v, beta, self._log_decay(x), **scan)
        if self.norm is not None:
            read = self.norm(read)
        read = read.reshape(x.shape)
        if self.gate is not None:
            read = read * jax.nn.silu(self.gate(x))
        return self.out(read), memory

    def _features(self, x: Float[Array, "B T H K"]) -> Float[Array, "B T H K"]:
        x = ELEMENTWISE[self.config.feature_map](x)
        return l2_normalize(x) if self.config.normalize_qk else x

    def _log_decay(self, x: Activations) -> Float[Array, "H R"] | Float[Array, "B T H R"] | None:
        """The natural log of the decay, per head (R = 1) or per row of the memory (R = K)."""
        if self.config.decay is Decay.none:
            return None
        if self.decay_bias is None:
            return jnp.asarray(self.config.first_log_decays[:, None], jnp.float32)
        if self.decay_from_x is None:
            return jax.nn.log_sigmoid(self.decay_bias[...])
        return jax.nn.log_sigmoid(biased_logits(self.decay_from_x(x), self.decay_bias))


OuterConfig.mixer = Outer
