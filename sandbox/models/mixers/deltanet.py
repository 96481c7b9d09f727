"""DeltaNet (Schlag et al. 2021, arXiv:2102.11174; Yang et al. 2024, arXiv:2406.06484, section 3).

    S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ ,   o_t = S_tᵀ q_t

The layer of the second paper, which never forgets but what it writes over: see `sandbox.models.delta_rule`, with
α = 1 and no gate.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.delta_rule import DeltaRule, DeltaRuleConfig
from sandbox.models.mixer import Card, Mixer


@dataclasses.dataclass(unsafe_hash=True)
class DeltaNetConfig(DeltaRuleConfig):
    """A memory that replaces what it returns for a key; see the module's docstring."""

    card: ClassVar[Card] = Card(
        equation="S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ; o_t = S_tᵀ q_t",
        decay="none",
        update="delta rule",
        paper="Yang et al. 2024, arXiv:2406.06484",
    )

    def make(self, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Mixer:
        """A mixer of width `d_model`."""
        self.check(d_model)
        return DeltaRule(self, d_model, value_heads=self.num_heads, values=d_model, rngs=rngs, dtype=dtype)
