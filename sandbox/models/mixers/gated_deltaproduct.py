"""Gated DeltaProduct (Siems et al. 2025, arXiv:2502.10297, section 3): several delta-rule steps per token.

    S ← α_t S_{t-1}                                          α_t as in Gated DeltaNet, one decay per token
    S ← S + β_j k_j (v_j - Sᵀ k_j)ᵀ      for j = 1 … n       with n keys, values and step sizes of token t
    o_t = Sᵀ q_t ,   y_t = (RMSNorm(o_t) ⊙ silu(x_t W_G)) W_O

The transition of a token is a product of n generalised Householder matrices, and so any rotation of n
dimensions if β reaches 2, which is the default here as in the authors' code. With n = 1 it is Gated DeltaNet.
It runs as the gated delta rule over n times as many tokens. The rest is in `layers/delta_rule.py`.
"""

import dataclasses
from typing import Any, ClassVar

from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import ScalarDecayConfig, ScalarDecayDeltaRule
from sandbox.models.mixer import Card
from sandbox.option_checks import check_at_least
from sandbox.scans import gated_delta_product
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class GatedDeltaProductConfig(ScalarDecayConfig):
    """Several steps of the delta rule for each token, on a memory that decays by one gate per head."""

    card: ClassVar[Card] = Card(
        equation="S_t = α_t ∏_j (I - β_j k_j k_jᵀ) S_{t-1} + …, n steps of the delta rule; o_t = S_tᵀ q_t",
        decay="data-dependent, per head",
        update="delta rule, n times",
        paper="Siems et al. 2025, arXiv:2502.10297",
        d_state="rows K of each head's matrix",
    )

    negative_eigenvalues: bool = True
    """Range of β: 0..2 if true, else 0..1."""
    num_steps: int = 2
    """Steps n of the delta rule for each token."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.num_steps", self.num_steps, 1)

    @property
    def writes_per_token(self) -> int:
        """Pairs of a key and a value that each token writes."""
        return self.num_steps


class GatedDeltaProduct(ScalarDecayDeltaRule):
    """Gated DeltaProduct. Decode state: a `DeltaRuleState`."""

    config: GatedDeltaProductConfig

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T I"], memory: Any
    ) -> tuple[Float[Array, "B T H V"], Any]:
        q, k, v = self._split(qkv)
        steps = (*x.shape[:2], self.config.num_steps)
        return gated_delta_product(
            self._unit_vectors(q) * self.rows**-0.5,
            self._unit_vectors(k).reshape(*steps, self.value_heads, self.rows),
            v.reshape(*steps, self.value_heads, self.columns),
            self._beta(x).reshape(*steps, self.value_heads),
            self._log_decay(x),
            initial_state=memory,
            **self.config.scan_options,
        )


GatedDeltaProductConfig.mixer = GatedDeltaProduct
