"""Time mixing of RWKV-5, "Eagle" (Peng et al. 2024, arXiv:2404.05892, section 4.1).

    r_t, k_t, v_t, g_t = x^r_t W_r, x^k_t W_k, x^v_t W_v, x^g_t W_g     x^i: the token shift
    S_t = diag(γ) S_{t-1} + k_t v_tᵀ                                    γ = exp(-exp(decay)), [H, K]
    o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t                             per head
    y_t = (silu(g_t) ⊙ GroupNorm(o_t)) W_o                              r, k [B, T, H, K]  v, g [B, T, H, V]

Initial values are those of the official code (`RWKV-v5/src/model.py`, x052), at a layer halfway up (see
`token_shift`): orthogonal projections, those of keys and gate a tenth as large. Where the code runs over
the channels of all heads, it does so here over the H · K of the keys.
"""

import dataclasses
from typing import ClassVar

from sandbox.models.layers.rwkv import BonusTimeMixing
from sandbox.models.mixer import Card, MatrixMemoryConfig


@dataclasses.dataclass(unsafe_hash=True)
class RWKV5Config(MatrixMemoryConfig):
    """A matrix memory that is read before the token is written, whose decays are learned and fixed over time."""

    card: ClassVar[Card] = Card(
        equation="S_t = diag(γ) S_{t-1} + k_t v_tᵀ; o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t",
        decay="learned, per channel",
        update="add",
        paper="Peng et al. 2024, arXiv:2404.05892",
        d_state="rows K of each head's matrix",
    )

    d_state: int = 16
    """Rows of memory that a head keeps: channels of its receptance and keys. The paper ties them to V."""


RWKV5Config.mixer = BonusTimeMixing
