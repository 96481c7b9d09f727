"""HGRN2 (Qin et al. 2024, arXiv:2404.07904, section 3): a gated RNN whose state is expanded by an outer product.

    f_t = γ + (1 - γ) σ(x_t W_F) ,   S_t = diag(f_t) S_{t-1} + (1 - f_t) i_tᵀ ,   i_t = x_t W_I
    y_t = RMSNorm(S_tᵀ silu(x_t W_Q)) W_O

A row takes in as much as it forgets: the key is 1 - f_t. The norm spans all heads. The paper learns the lower
bound γ per layer and channel, growing with depth from zero; here it is an option. Gates and values are those of
flash-linear-attention; the authors' code (`hgru2-pytorch`) has a silu on i_t, a sigmoid on q and a layer norm.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.mixer import Card, MatrixMemoryConfig, MatrixState, Mixer
from sandbox.scans import gated_linear_attention
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class HGRN2Config(MatrixMemoryConfig):
    """Linear attention whose key is one minus its decay."""

    card: ClassVar[Card] = Card(
        equation="S_t = diag(f_t) S_{t-1} + (1 - f_t) i_tᵀ, f_t = γ + (1 - γ) σ(x_t W); o_t = S_tᵀ q_t",
        decay="data-dependent, per channel",
        update="add, tied to the decay",
        paper="Qin et al. 2024, arXiv:2404.07904",
        d_state="rows K of each head's matrix",
    )

    num_heads: int = 1
    lower_bound: float = 0.0
    """γ: the smallest fraction of a row of memory kept per token; at least 0 and below 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.lower_bound < 1:
            raise ValueError(f"mixer.lower_bound={self.lower_bound} must be at least 0 and below 1")


class HGRN2(Mixer):
    """A gated RNN with a matrix per head. Decode state: a `MatrixState`."""

    config: HGRN2Config

    def __init__(self, config: HGRN2Config, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.rows, self.columns = config.d_state, d_model // config.num_heads
        self.q = Dense(d_model, config.num_heads * config.d_state, rngs=rngs)
        self.forget = Dense(d_model, config.num_heads * config.d_state, rngs=rngs)
        self.v = Dense(d_model, d_model, rngs=rngs)
        self.norm = RMSNorm(d_model)
        self.out = Dense(d_model, d_model, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> MatrixState:
        return MatrixState(jnp.zeros((batch_size, self.config.num_heads, self.rows, self.columns), jnp.float32))

    def prefill(self, x: Activations, state: MatrixState) -> tuple[Activations, MatrixState]:
        heads, bound = (*x.shape[:2], self.config.num_heads, -1), self.config.lower_bound
        q, v = jax.nn.silu(self.q(x)).reshape(heads), self.v(x).reshape(heads)
        logits = self.forget(x).astype(jnp.float32).reshape(heads)
        log_decay = jax.nn.log_sigmoid(logits)
        if bound:
            log_decay = jnp.logaddexp(jnp.log(bound), jnp.log1p(-bound) + log_decay)
        k = ((1 - bound) * jax.nn.sigmoid(-logits)).astype(x.dtype)  # 1 - f, without cancellation
        read, memory = gated_linear_attention(
            q, k, v, log_decay, initial_state=state.memory, **self.config.scan_options
        )
        return self.out(self.norm(read.reshape(x.shape))), MatrixState(memory)


HGRN2Config.mixer = HGRN2
