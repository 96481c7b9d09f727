"""Log-linear Gated DeltaNet (Guo et al. 2025, arXiv:2506.04761): its memory for each power of two.

    S_t^0 = β_t k_t v_tᵀ ,   S_t^ℓ = α_t (I - β_t k_t k_tᵀ) S_{t-1}^ℓ, after full levels have merged
    o_t = Σ_ℓ λ_t^ℓ (S_t^ℓ)ᵀ q_t ,   λ_t^ℓ = softplus(a_ℓ (x_t W)_ℓ)

With all λ = 1 it is Gated DeltaNet, whose layer is in `layers/delta_rule.py`; `layers/log_linear.py` has the
levels.
"""

import dataclasses
from typing import Any, ClassVar

from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import ScalarDecayConfig, ScalarDecayDeltaRule
from sandbox.models.layers.log_linear import LevelsConfig, LevelsOf, LevelWeights, remember
from sandbox.models.mixer import Card
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class LogLinearGatedDeltaNetConfig(LevelsConfig, ScalarDecayConfig):
    """The gated delta rule on memories of blocks that double in length with their age."""

    card: ClassVar[Card] = Card(
        equation="S_t^ℓ = α_t (I - β_t k_t k_tᵀ) S_{t-1}^ℓ, ℓ of 2^(ℓ-1) tokens; o_t = Σ_ℓ λ_t^ℓ (S_t^ℓ)ᵀ q_t",
        decay="data-dependent, per head",
        update="delta rule, on log₂ T levels",
        paper="Guo et al. 2025, arXiv:2506.04761",
        d_state="rows K of the matrix of each head and level",
    )


class LogLinearGatedDeltaNet(LevelsOf, ScalarDecayDeltaRule):
    """Log-linear Gated DeltaNet. Decode state: a `DeltaRuleState` whose memory is `Levels`."""

    def __init__(self, config: LogLinearGatedDeltaNetConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        self.levels = LevelWeights(d_model, config.value_heads, rngs=rngs)

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T I"], memory: Any
    ) -> tuple[Float[Array, "B T H V"], Any]:
        q, k, v = self._split(qkv)
        q, k = self._unit_vectors(q) * self.rows**-0.5, self._unit_vectors(k)
        return remember(q, k, v, self._log_decay(x)[..., 0], self._beta(x), self.levels(x), memory)


LogLinearGatedDeltaNetConfig.mixer = LogLinearGatedDeltaNet
