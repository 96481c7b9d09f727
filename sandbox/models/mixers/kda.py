"""Kimi Delta Attention (Kimi Team 2025, arXiv:2510.26692, sections 3 and 4).

    α_t = exp(-A softplus(x_t W₁ W₂ + b_Δ))
    S_t = (I - β_t k_t k_tᵀ) diag(α_t) S_{t-1} + β_t k_t v_tᵀ ,   o_t = S_tᵀ q_t
    y_t = (RMSNorm(o_t) ⊙ σ(x_t W₃ W₄)) W_O

Gated DeltaNet with a decay per row of memory. All of it is in `layers/delta_rule.py`. The output gate has no
bias, as in the released model and in transformers; flash-linear-attention gives it one.
"""

import dataclasses
from typing import ClassVar

from sandbox.models.layers.delta_rule import ChannelDecayConfig, ChannelDecayDeltaRule
from sandbox.models.mixer import Card


@dataclasses.dataclass(unsafe_hash=True)
class KDAConfig(ChannelDecayConfig):
    """The delta rule on a memory whose rows decay, each by its own gate."""

    card: ClassVar[Card] = Card(
        equation="S_t = (I - β_t k_t k_tᵀ) diag(α_t) S_{t-1} + β_t k_t v_tᵀ; o_t = S_tᵀ q_t",
        decay="data-dependent, per channel",
        update="delta rule",
        paper="Kimi Team 2025, arXiv:2510.26692",
        d_state="rows K of each head's matrix",
    )


KDAConfig.mixer = ChannelDecayDeltaRule
