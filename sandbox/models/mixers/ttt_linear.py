"""TTT-Linear (Sun et al. 2024, arXiv:2407.04620, section 2): a linear model as memory, trained while it reads.

    ℓ(W, b) = ½ ‖LN(k_j W + b) - (v_j - k_j)‖² ,   G_j = ∂ℓ/∂(k_j W + b)     at W, b of the start of the mini-batch
    W_i = W - Σ_{j≤i} η_ij k_j G_jᵀ ,   b_i = b - Σ_{j≤i} η_ij G_j            tokens j of i's mini-batch
    o_i = q_i + LN(q_i W_i + b_i)

Per head W is [K, K]; the table of mixers leaves out b. The rest is in `layers/ttt.py`.
"""

import dataclasses
from typing import ClassVar

from sandbox.models.layers.ttt import TTT, TTTConfig
from sandbox.models.mixer import Card


@dataclasses.dataclass(unsafe_hash=True)
class TTTLinearConfig(TTTConfig):
    """A linear model per head, which takes a gradient step for each mini-batch."""

    card: ClassVar[Card] = Card(
        equation="W_i = W - Σ_{j≤i} η_ij k_j G_jᵀ, G the gradient of ½‖LN(k W) - v + k‖²; o_i = q_i + LN(q_i W_i)",
        decay="none",
        update="gradient step, by mini-batch",
        paper="Sun et al. 2024, arXiv:2407.04620",
        d_state="rows and columns K of each head's matrices",
    )
    base_rate: ClassVar[float] = 1.0

    @property
    def widths(self) -> tuple[int, ...]:
        """One layer, of K channels on both sides."""
        return self.d_state, self.d_state


class TTTLinear(TTT):
    """TTT-Linear; its decode state is a `TTTState`."""


TTTLinearConfig.mixer = TTTLinear
