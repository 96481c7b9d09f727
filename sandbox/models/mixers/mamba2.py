"""Mamba-2, structured state-space duality (Dao & Gu 2024, arXiv:2405.21060, sections 6 and 7.1).

    S_t = exp(Δ_t A) S_{t-1} + B_t (Δ_t x_t)ᵀ ,   y_t = S_tᵀ C_t + D x_t

Gated linear attention with queries C, keys B, values Δ x and one decay per head. All of it is in `layers/ssd.py`.
"""

import dataclasses
from typing import ClassVar

from sandbox.models.layers.ssd import SSD, SSDConfig
from sandbox.models.mixer import Card


@dataclasses.dataclass(unsafe_hash=True)
class Mamba2Config(SSDConfig):
    """Gated linear attention whose values and decays share a step size."""

    card: ClassVar[Card] = Card(
        equation="S_t = exp(Δ_t A) S_{t-1} + B_t (Δ_t x_t)ᵀ; y_t = S_tᵀ C_t + D x_t",
        decay="data-dependent, per head",
        update="add",
        paper="Dao & Gu 2024, arXiv:2405.21060",
        d_state="rows N of each head's matrix",
    )


Mamba2Config.mixer = SSD
