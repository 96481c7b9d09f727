"""The linear memory of Titans (Behrouz et al. 2025, arXiv:2501.00663, section 3.1, equations 8 to 14).

    Z_t = η_t Z_{t-1} - θ_t ∇ℓ(S_{t-1}) ,   ℓ(S) = ½ ‖Sᵀ k_t - v_t‖²                surprise, with momentum
    S_t = (1 - α_t) S_{t-1} + Z_t ,   o_t = S_tᵀ q_t                                 memory, which forgets
    y_t = (RMSNorm(o_t) ⊙ silu(x_t W_G)) W_O

The memory is trained while it is used: ∇ℓ = -k (v - Sᵀ k)ᵀ, so that it is the delta rule with momentum
(`momentum_delta_rule`). The paper computes the gradients of a chunk at its start; here each token has the gradient
at its own memory. Deep memories, persistent tokens and attention beside it are not here.

θ = σ(x_t W_θ) and η = σ(x_t W_η + b_η) are numbers per head. There is no code by the authors, and the paper does
not say how gates start: 1 - α is the decay of Gated DeltaNet (`layers/delta_rule.py`), b_η starts at zero.
Queries, keys and values go through short convolutions and silu, and queries and keys have length one, as in its
section 4.4. With η near one the recurrence is unstable: at 0.99 it passes the largest float32 within 4000 tokens.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import ScalarDecayConfig
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.momentum import MomentumDeltaRule
from sandbox.models.mixer import Card
from sandbox.scans import MomentumState, momentum_delta_rule
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class TitansConfig(ScalarDecayConfig):
    """A linear memory that takes a gradient step with momentum at each token, and forgets."""

    card: ClassVar[Card] = Card(
        equation="Z_t = η_t Z_{t-1} + θ_t k_t (v_t - S_{t-1}ᵀ k_t)ᵀ, S_t = (1 - α_t) S_{t-1} + Z_t; o_t = S_tᵀ q",
        decay="data-dependent, per head",
        update="delta rule, before decay, with momentum",
        paper="Behrouz et al. 2025, arXiv:2501.00663",
        d_state="rows K of each head's two matrices",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.negative_eigenvalues:
            raise ValueError("mixer.negative_eigenvalues=true: titans has none, as θ is below one")


class Titans(MomentumDeltaRule):
    """The linear memory of Titans. Decode state: a `DeltaRuleState` of a `MomentumState`."""

    def __init__(self, config: TitansConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        self.momentum = Dense(d_model, config.value_heads, use_bias=True, rngs=rngs)

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T I"], memory: MomentumState
    ) -> tuple[Float[Array, "B T H V"], Any]:
        q, k, v = self._split(qkv)
        q, k = self._unit_vectors(q) * self.rows**-0.5, self._unit_vectors(k)
        log_decay, rate = self._log_decay(x)[..., 0], self._beta(x)
        log_momentum = jax.nn.log_sigmoid(self.momentum(x).astype(jnp.float32))
        gates = log_decay, jnp.ones_like(rate), log_momentum, rate
        return momentum_delta_rule(q, k, k, v, *gates, initial_state=memory, **self.config.scan_options)


TitansConfig.mixer = Titans
