"""DeltaNet (Schlag et al. 2021, arXiv:2102.11174; Yang et al. 2024, arXiv:2406.06484, section 3).

    S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ ,   o_t = S_tᵀ q_t

The layer of the second paper: `layers/delta_rule.py` with α = 1 and no gate. Memory is overwritten, never decayed.
"""

import dataclasses
from typing import ClassVar

from sandbox.models.layers.delta_rule import DeltaRule, DeltaRuleConfig
from sandbox.models.mixer import Card


@dataclasses.dataclass(unsafe_hash=True)
class DeltaNetConfig(DeltaRuleConfig):
    """A memory that replaces the value it returns for a key."""

    card: ClassVar[Card] = Card(
        equation="S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ; o_t = S_tᵀ q_t",
        decay="none",
        update="delta rule",
        paper="Yang et al. 2024, arXiv:2406.06484",
        d_state="rows K of each head's matrix",
    )


DeltaNetConfig.mixer = DeltaRule
