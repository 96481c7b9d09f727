"""Comba (arXiv:2506.02475): a delta rule that compares with the memory before it decays, and corrects its queries.

    α_t = exp(-A softplus(x_t W_Δ + b_Δ))
    S_t = (α_t I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ ,   o_t = S_tᵀ q̃_t
    q̃_t = l2norm(q_t - d σ(c) k_t)                             per head: numbers c and d
    y_t = (RMSNorm(o_t) ⊙ σ(x_t W_G)) W_O

Along k the transition has the eigenvalue α - β, in -1..1, where Gated DeltaNet has α (1 - β). The paper
compares the value with what p = σ(c) k recalls; its code scales p to length one, so that c acts in the
corrected query alone. Both start as in the authors' code of 340 million parameters: c = 1, d = 0.02. The rest
is in `layers/delta_rule.py`.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import ScalarDecayConfig, ScalarDecayDeltaRule
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.mixer import Card
from sandbox.scans import generalized_delta_rule
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class CombaConfig(ScalarDecayConfig):
    """The delta rule on a memory that decays, which erases what the memory held before it decayed."""

    card: ClassVar[Card] = Card(
        equation="S_t = (α_t I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ; o_t = S_tᵀ q̃_t",
        decay="data-dependent, per head",
        update="delta rule, before decay",
        paper="Hu et al. 2025, arXiv:2506.02475",
        d_state="rows K of each head's matrix",
    )


class Comba(ScalarDecayDeltaRule):
    """Comba. Decode state: a `DeltaRuleState`."""

    def __init__(self, config: CombaConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        self.compared = NoWeightDecay(jnp.ones((config.num_heads,), jnp.float32))
        self.correction = NoWeightDecay(jnp.full((config.num_heads,), 0.02, jnp.float32))

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T I"], memory: Any
    ) -> tuple[Float[Array, "B T H V"], Any]:
        q, k, v = self._split(qkv)
        share = jnp.repeat(self.correction[...] * jax.nn.sigmoid(self.compared[...]), self.rows)
        corrected = q - share.astype(q.dtype) * k
        k, beta = self._unit_vectors(k), self._beta(x)[..., None].astype(v.dtype)
        return generalized_delta_rule(
            self._unit_vectors(corrected) * self.rows**-0.5,
            k,
            beta * v,
            a=k,
            b=-beta * k,
            log_decay=self._log_decay(x),
            initial_state=memory,
            **self.config.scan_options,
        )

    def _gate(self, x: Activations) -> Float[Array, "B T I"]:
        return jax.nn.sigmoid(self.gate(x))


CombaConfig.mixer = Comba
