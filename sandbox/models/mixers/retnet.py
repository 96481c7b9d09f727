"""RetNet's multi-scale retention (Sun et al. 2023, arXiv:2307.08621, section 2).

    S_t = γ_h S_{t-1} + k_t v_tᵀ ,   γ_h = 1 - 2^(-5-h) for head h = 0, 1, ...
    o_t = S_tᵀ q_t ,   y_t = (silu(x_t W_G) ⊙ GroupNorm(o_t)) W_O

k is scaled by K^-1/2, queries and keys are rotated by their positions, and values are `expand_v` times as wide as
the model. Group norm treats each head by itself and has no parameters, as in the authors' code before it became an
RMS norm. The initialisation is theirs too: Xavier uniform with a gain of 2^-2.5, and of 2^-1 for W_O.

The paper calls its rotation xPos, but with a single decay per head only the rotation of RoPE is left of it: this
is `positions=rotation`. `positions=xpos` is xPos itself (Sun et al. 2022, arXiv:2212.10554), which multiplies γ by
ζ_i^(1/512) for channel pair i, with ζ_i = (2i/K + 0.4) / 1.4.
"""

import dataclasses
import enum
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import LayerNorm
from sandbox.models.layers.parameters import retention_decays
from sandbox.models.layers.rotary import rotate
from sandbox.models.mixer import Card, MatrixMemoryConfig, Mixer
from sandbox.option_checks import check_at_least, check_divides
from sandbox.scans import gated_linear_attention
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


class RetentionPositions(enum.Enum):
    """How queries and keys encode their positions."""

    none = "none"
    rotation = "rotation"
    xpos = "xpos"


@dataclasses.dataclass(unsafe_hash=True)
class RetNetConfig(MatrixMemoryConfig):
    """Options of RetNet: linear attention with one fixed decay rate per head."""

    card: ClassVar[Card] = Card(
        equation="S_t = γ_h S_{t-1} + k_t v_tᵀ; o_t = S_tᵀ q_t; y_t = silu(x_t W_G) ⊙ GroupNorm(o_t)",
        decay="fixed, per head",
        update="add",
        paper="Sun et al. 2023, arXiv:2307.08621",
        d_state="rows K of each head's matrix",
    )

    expand_v: int = 2
    """Channels of the values of all heads as a multiple of `d_model`."""
    positions: RetentionPositions = RetentionPositions.rotation

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.expand_v", self.expand_v, 1)
        if self.positions is not RetentionPositions.none:
            check_divides("2 (a rotation pairs channels)", 2, "mixer.d_state", self.d_state)

    def check_width(self, d_model: int) -> None:
        check_divides("mixer.num_heads", self.num_heads, "mixer.expand_v · model.d_model", self.expand_v * d_model)


class RetNetState(NamedTuple):
    """The matrices of all heads, and the number of tokens seen; None without positions."""

    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]
    position: Annotated[Int[Array, ""], StateKind.counter] | None


class RetNet(Mixer):
    """The retention layer; its decode state is a `RetNetState`."""

    config: RetNetConfig

    def __init__(self, config: RetNetConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        values = config.expand_v * d_model
        self.rows, self.columns = config.d_state, values // config.num_heads
        inner = nnx.initializers.variance_scaling(2.0**-5, "fan_avg", "uniform")
        outer = nnx.initializers.variance_scaling(2.0**-2, "fan_avg", "uniform")
        self.q = Dense(d_model, config.num_heads * config.d_state, kernel_init=inner, rngs=rngs)
        self.k = Dense(d_model, config.num_heads * config.d_state, kernel_init=inner, rngs=rngs)
        self.v = Dense(d_model, values, kernel_init=inner, rngs=rngs)
        self.gate = Dense(d_model, values, kernel_init=inner, rngs=rngs)
        self.norm = LayerNorm(self.columns, use_scale=False, use_bias=False)
        self.out = Dense(values, d_model, kernel_init=outer, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> RetNetState:
        placed = self.config.positions is not RetentionPositions.none
        return RetNetState(
            memory=jnp.zeros((batch_size, self.config.num_heads, self.rows, self.columns), jnp.float32),
            position=jnp.zeros((), jnp.int32) if placed else None,
        )

    def prefill(self, x: Activations, state: RetNetState) -> tuple[Activations, RetNetState]:
        config, heads = self.config, (*x.shape[:2], self.config.num_heads, -1)
        q, k, v = self.q(x).reshape(heads), self.k(x).reshape(heads), self.v(x).reshape(heads)
        k, position = k * config.d_state**-0.5, state.position
        if position is not None:
            positions = position + jnp.arange(x.shape[1])
            q, k, position = rotate(q, positions), rotate(k, positions), position + x.shape[1]
        read, memory = gated_linear_attention(
            q, k, v, self._log_decay(), initial_state=state.memory, **config.scan_options
        )
        read = self.norm(read).reshape(*x.shape[:2], -1)
        return self.out(jax.nn.silu(self.gate(x)) * read), RetNetState(memory, position)

    def _log_decay(self) -> Float[Array, "H R"]:
        """The natural log of the decay, per head (R = 1) or, for xPos, per row of the memory (R = K)."""
        log_decay = np.log(retention_decays(self.config.num_heads))[:, None]
        if self.config.positions is RetentionPositions.xpos:
            pairs = np.arange(self.config.d_state // 2)
            zeta = (2 * pairs / self.config.d_state + 0.4) / 1.4
            log_decay = log_decay + np.tile(np.log(zeta), 2)[None, :] / 512
        return jnp.asarray(log_decay, jnp.float32)


RetNetConfig.mixer = RetNet
