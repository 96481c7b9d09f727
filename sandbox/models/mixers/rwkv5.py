"""Time mixing of RWKV-5, "Eagle" (Peng et al. 2024, arXiv:2404.05892, section 4.1).

    r_t, k_t, v_t, g_t = x^r_t W_r, x^k_t W_k, x^v_t W_v, x^g_t W_g     x^i: the token shift
    S_t = diag(γ) S_{t-1} + k_t v_tᵀ                                    γ = exp(-exp(decay)), [H, K]
    o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t                             per head
    y_t = (silu(g_t) ⊙ GroupNorm(o_t)) W_o                              r, k [B, T, H, K]  v, g [B, T, H, V]

Initial values are those of a middle layer (see `token_shift`) in the official code (`RWKV-v5/src/model.py`, x052):
orthogonal projections, with a gain of 0.1 for keys and gate, and decays and bonuses that vary over the H · K
channels of the keys.
"""

import dataclasses
from typing import ClassVar

from sandbox.models.layers.rwkv import BonusTimeMixing
from sandbox.models.mixer import Card, MatrixMemoryConfig


@dataclasses.dataclass(unsafe_hash=True)
class RWKV5Config(MatrixMemoryConfig):
    """Options of RWKV-5: a matrix memory with learned, fixed decays that is read before it is written."""

    card: ClassVar[Card] = Card(
        equation="S_t = diag(γ) S_{t-1} + k_t v_tᵀ; o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t",
        decay="learned, per channel",
        update="add",
        paper="Peng et al. 2024, arXiv:2404.05892",
        d_state="rows K of each head's matrix",
    )

    d_state: int = 16
    """The size knob: rows K of each head's matrix. The paper sets K = V."""


RWKV5Config.mixer = BonusTimeMixing
