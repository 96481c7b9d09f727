"""TTT-MLP (Sun et al. 2024, arXiv:2407.04620, section 2.7): an MLP as memory, trained while it reads.

    f(x) = gelu(x W^1 + b^1) W^2 + b^2 ,   ℓ_j = ½ ‖LN(f(k_j)) - (v_j - k_j)‖²
    W_i, b_i = W, b - Σ_{j≤i} η_ij ∂ℓ_j/∂(W, b)      at W, b of the start of the mini-batch; tokens j of i's
    o_i = q_i + LN(f(q_i)) at W_i, b_i

Per head W^1 is [K, 4K] and W^2 [4K, K]. Steps are a tenth of TTT-Linear's, as in the authors' recipe, which
also warms them up over the first tenth of training, and this does not. The rest is in `layers/ttt.py`.
"""

import dataclasses
from typing import ClassVar

from sandbox.models.layers.ttt import TTT, TTTConfig
from sandbox.models.mixer import Card


@dataclasses.dataclass(unsafe_hash=True)
class TTTMLPConfig(TTTConfig):
    """An MLP per head, which takes a gradient step for each mini-batch."""

    card: ClassVar[Card] = Card(
        equation="W_i = W - Σ_{j≤i} η_ij ∂ℓ_j/∂W, ℓ = ½‖LN(f(k)) - v + k‖², f an MLP; o_i = q_i + LN(f_i(q_i))",
        decay="none",
        update="gradient step, by mini-batch",
        paper="Sun et al. 2024, arXiv:2407.04620",
        d_state="channels K of each head, whose matrices are [K, 4K] and [4K, K]",
    )
    base_rate: ClassVar[float] = 0.1

    @property
    def widths(self) -> tuple[int, ...]:
        """Two layers, with 4 K channels between them."""
        return self.d_state, 4 * self.d_state, self.d_state


class TTTMLP(TTT):
    """TTT-MLP; its decode state is a `TTTState`."""


TTTMLPConfig.mixer = TTTMLP
