"""MesaNet (von Oswald et al. 2025, arXiv:2506.05233): a memory that is read as the best linear map of all it has
seen.

    H_t = γ_t H_{t-1} + β_t k_t k_tᵀ ,   U_t = γ_t U_{t-1} + β_t k_t v_tᵀ       per head: H [K, K], U [K, V]
    o_t = U_tᵀ (H_t + diag(λ))⁻¹ q_t

The matrix U (H + Λ)⁻¹ has the least squared error over all pairs so far, the older ones weighted less, with a
penalty λ. γ = σ(x_t W_γ + b_γ) and β = σ(x_t W_β + b_β) are numbers per head; λ = 1/4 + softplus(l) per row
starts at 1. Queries and keys go through a short convolution and silu and have length one; values are linear in
x. o is RMS-normalised per head.

The authors take 30 steps of conjugate gradients for the inverse; here each token's system is solved, which
costs K³ operations per token, and H is stored for every token of a training step: K² floats each.
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
from sandbox.models.layers.norms import RMSNorm, l2_normalize
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.mixer import Card, MatrixMemoryConfig, Mixer
from sandbox.models.segments import open_segments
from sandbox.option_checks import check_at_least
from sandbox.scans import diagonal_scan, gated_linear_attention
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values

_LEAST_PENALTY = 0.25


@dataclasses.dataclass(unsafe_hash=True)
class MesaNetConfig(MatrixMemoryConfig):
    """Regression on all pairs so far, solved anew at each token."""

    card: ClassVar[Card] = Card(
        equation="H_t = γ_t H_{t-1} + β_t k_t k_tᵀ; U_t likewise of k_t v_tᵀ; o_t = U_tᵀ (H_t + diag(λ))⁻¹ q_t",
        decay="data-dependent, per head",
        update="add, read by least squares",
        paper="von Oswald et al. 2025, arXiv:2506.05233",
        d_state="rows K of each head's matrices",
    )

    conv_width: int = 4
    """Width in tokens of the short convolution over queries and keys."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.conv_width", self.conv_width, 1)


class MesaNetState(NamedTuple):
    """The two matrices of each head, and the window of the short convolution."""

    keys: Annotated[Float[Array, "B H K L"], StateKind.memory]
    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]
    conv: Annotated[Float[Array, "B S E"], StateKind.convolution]


class MesaNet(Mixer):
    """MesaNet; its decode state is a `MesaNetState`."""

    config: MesaNetConfig

    def __init__(self, config: MesaNetConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        heads, self.rows, self.columns = config.num_heads, config.d_state, d_model // config.num_heads
        self.qk = Dense(d_model, 2 * heads * self.rows, rngs=rngs)
        self.conv = CausalConv(2 * heads * self.rows, config.conv_width, use_bias=False, rngs=rngs)
        self.v = Dense(d_model, d_model, rngs=rngs)
        self.keep = Dense(d_model, heads, use_bias=True, rngs=rngs)
        self.beta = Dense(d_model, heads, use_bias=True, rngs=rngs)
        start = math.log(math.expm1(1 - _LEAST_PENALTY))
        self.penalty = NoWeightDecay(jnp.full((heads, self.rows), start, jnp.float32))
        self.norm = RMSNorm(self.columns, epsilon=1e-5)
        self.out = Dense(d_model, d_model, rngs=rngs)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> MesaNetState:
        heads = (batch_size, self.config.num_heads, self.rows)
        return MesaNetState(
            keys=jnp.zeros((*heads, self.rows), jnp.float32),
            memory=jnp.zeros((*heads, self.columns), jnp.float32),
            conv=self.conv.init_state(batch_size, self.dtype),
        )

    def prefill(self, x: Activations, state: MesaNetState) -> tuple[Activations, MesaNetState]:
        qk, window = self.conv.prefill(self.qk(x), state.conv)
        q, k = (
            l2_normalize(part.reshape(*x.shape[:2], self.config.num_heads, self.rows))
            for part in jnp.split(jax.nn.silu(qk), 2, axis=-1)
        )
        v = tap_values(self.v(x).reshape(*x.shape[:2], self.config.num_heads, self.columns))
        log_kept = jax.nn.log_sigmoid(self.keep(x).astype(jnp.float32))
        beta = jax.nn.sigmoid(self.beta(x).astype(jnp.float32))[..., None]
        k32, q32 = k.astype(jnp.float32), q.astype(jnp.float32)
        pairs = beta[..., None] * k32[..., :, None] * k32[..., None, :]
        keys, last = diagonal_scan(
            jnp.broadcast_to(jnp.exp(log_kept)[..., None, None], pairs.shape),
            pairs,
            initial_state=state.keys,
            segment_ids=open_segments(),
        )
        penalty = jax.vmap(jnp.diag)(_LEAST_PENALTY + jax.nn.softplus(self.penalty[...]))
        factor = jnp.linalg.cholesky(keys + penalty)
        half = jax.lax.linalg.triangular_solve(factor, q32[..., None], left_side=True, lower=True)
        whole = jax.lax.linalg.triangular_solve(factor, half, left_side=True, lower=True, transpose_a=True)
        read, memory = gated_linear_attention(
            whole[..., 0].astype(v.dtype),
            k,
            beta.astype(v.dtype) * v,
            log_kept[..., None],
            initial_state=state.memory,
            **self.config.scan_options,
        )
        return self.out(self.norm(tap_read(read)).reshape(x.shape)), MesaNetState(last, memory, window)


MesaNetConfig.mixer = MesaNet
