"""The layer of DeltaNet, Gated DeltaNet and Kimi Delta Attention, which differ in their decay and output gate.

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
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import RMSNorm, l2_normalize
from sandbox.models.mixer import MatrixMemoryConfig, Mixer
from sandbox.option_checks import check_at_least
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


class DeltaRuleState(NamedTuple):
    """The memory and the last inputs of the short convolution."""

    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]
    conv: Annotated[Float[Array, "B S E"], StateKind.convolution]


class DeltaRule(Mixer):
    """Base of the mixers with the delta rule, which define `_log_decay` and `_gate`."""

    config: DeltaRuleConfig

    def __init__(self, config: DeltaRuleConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.value_heads = value_heads = config.value_heads
        values = config.value_expansion * d_model
        self.rows, self.columns = config.d_state, values // value_heads
        channels = 2 * config.num_heads * config.d_state + values
        self.qkv = Dense(d_model, channels, rngs=rngs)
        self.conv = CausalConv(channels, config.conv_width, use_bias=False, rngs=rngs)
        self.beta = Dense(d_model, value_heads, rngs=rngs)
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
        keys = self.config.num_heads * self.rows
        q, k, v = jnp.split(jax.nn.silu(qkv), [keys, 2 * keys], axis=-1)
        beta = jax.nn.sigmoid(self.beta(x).astype(jnp.float32))
        read, memory = gated_delta_rule(
            self._unit_vectors(q) * self.rows**-0.5,
            self._unit_vectors(k),
            v.reshape(*x.shape[:2], self.value_heads, self.columns),
            2 * beta if self.config.negative_eigenvalues else beta,
            self._log_decay(x),
            initial_state=state.memory,
            **self.config.scan_options,
        )
        read = self.norm(read).reshape(v.shape)
        gate = self._gate(x)
        return self.out(read if gate is None else read * gate), DeltaRuleState(memory, window)

    def _unit_vectors(self, x: Float[Array, "B T I"]) -> Float[Array, "B T H K"]:
        """Queries or keys of length 1, repeated for each value head of their group."""
        x = l2_normalize(x.reshape(*x.shape[:2], self.config.num_heads, self.rows))
        return jnp.repeat(x, self.value_heads // self.config.num_heads, axis=2)

    def _log_decay(self, x: Activations) -> Float[Array, "B T H R"] | None:
        """log α, per head (R = 1) or per row of memory (R = K). None: α = 1."""
        return None

    def _gate(self, x: Activations) -> Float[Array, "B T I"] | None:
        """The factor on the normalised output of the memory. None: 1."""
        return None
