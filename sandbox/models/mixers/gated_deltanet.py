"""Gated DeltaNet (Yang et al. 2024, arXiv:2412.06464, section 3).

    α_t = exp(-A softplus(x_t W_Δ + b_Δ))
    S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ ,   o_t = S_tᵀ q_t
    y_t = (RMSNorm(o_t) ⊙ silu(x_t W_G)) W_O

The decay is per head and parametrised as in Mamba-2. All of it is in `layers/delta_rule.py`.

Values have `expand_v` times the model's channels: 2, as in Qwen3-Next and Zoology's runs; the authors' models have
1.5. As in Qwen3-Next, several value heads, each with its own β, decay and memory, may share a head of queries and
keys.
"""

import dataclasses
from typing import ClassVar

from sandbox.models.layers.delta_rule import ScalarDecayConfig, ScalarDecayDeltaRule
from sandbox.models.mixer import Card


@dataclasses.dataclass(unsafe_hash=True)
class GatedDeltaNetConfig(ScalarDecayConfig):
    """The delta rule on a memory that decays by one gate per head."""

    card: ClassVar[Card] = Card(
        equation="S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, α_t a number; o_t = S_tᵀ q_t",
        decay="data-dependent, per head",
        update="delta rule",
        paper="Yang et al. 2024, arXiv:2412.06464",
        d_state="rows K of each head's matrix",
    )


GatedDeltaNetConfig.mixer = ScalarDecayDeltaRule
