"""Log-linear gated linear attention (Guo et al. 2025, arXiv:2506.04761): Mamba-2 with a memory for each power of
two.

    S_t^0 = B_t (Δ_t x_t)ᵀ ,   S_t^ℓ = exp(Δ_t A) S_{t-1}^ℓ, after full levels have merged
    y_t = Σ_ℓ λ_t^ℓ (S_t^ℓ)ᵀ C_t + D x_t ,   λ_t^ℓ = softplus(a_ℓ (x_t W)_ℓ)

With all λ = 1 it is Mamba-2, whose layer is in `layers/ssd.py`; `layers/log_linear.py` has the levels. The
authors start A at 1 … H, which here starts uniform in 1..16, as in Mamba-2.
"""

import dataclasses
from typing import Any, ClassVar

from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.log_linear import LevelsConfig, LevelsOf, LevelWeights, remember
from sandbox.models.layers.ssd import SSD, SSDConfig
from sandbox.models.mixer import Card
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class LogLinearGLAConfig(LevelsConfig, SSDConfig):
    """Gated linear attention on memories of blocks that double in length with their age."""

    card: ClassVar[Card] = Card(
        equation="S_t^ℓ = exp(Δ_t A) S_{t-1}^ℓ, levels ℓ of 2^(ℓ-1) tokens; y_t = Σ_ℓ λ_t^ℓ (S_t^ℓ)ᵀ C_t + D x_t",
        decay="data-dependent, per head",
        update="add, to log₂ T levels",
        paper="Guo et al. 2025, arXiv:2506.04761",
        d_state="rows N of the matrix of each head and level",
    )


class LogLinearGLA(LevelsOf, SSD):
    """Log-linear gated linear attention. Decode state: an `SSDState` whose memory is `Levels`."""

    def __init__(self, config: LogLinearGLAConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        self.levels = LevelWeights(d_model, config.num_heads, rngs=rngs)

    def _remember(
        self,
        x: Activations,
        q: Float[Array, "B T H N"],
        k: Float[Array, "B T H N"],
        v: Float[Array, "B T H V"],
        log_decay: Float[Array, "B T H"],
        memory: Any,
    ) -> tuple[Float[Array, "B T H V"], Any]:
        return remember(q, k, v, log_decay, None, self.levels(x), memory)


LogLinearGLAConfig.mixer = LogLinearGLA
