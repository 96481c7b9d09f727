"""Gated DeltaNet-2 (arXiv:2605.22791, equations 10 to 12).

    α_t = exp(-A softplus(x_t W₁ W₂ + b_Δ)) ,   b_t = σ(x_t W_b) [K] ,   w_t = σ(x_t W_w) [V]
    S_t = (I - k_t (b_t ⊙ k_t)ᵀ) diag(α_t) S_{t-1} + k_t (w_t ⊙ v_t)ᵀ ,   o_t = S_tᵀ q_t
    y_t = (RMSNorm(o_t) ⊙ σ(x_t W₃ W₄)) W_O

Kimi Delta Attention in which erasing and writing have gates of their own: b for each row of the memory, w for
each of its columns. With b and w equal to one number β it is Kimi Delta Attention. `negative_eigenvalues`
doubles b alone. The output gate is a sigmoid, as in flash-linear-attention, `fla/layers/gdn2.py`. The rest is
in `layers/delta_rule.py`.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import ChannelDecayConfig, ChannelDecayDeltaRule
from sandbox.models.layers.dense import Dense
from sandbox.models.mixer import Card
from sandbox.scans import generalized_delta_rule
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class GatedDeltaNet2Config(ChannelDecayConfig):
    """The delta rule with a gate for each row that is erased and for each column that is written."""

    card: ClassVar[Card] = Card(
        equation="S_t = (I - k_t (b_t ⊙ k_t)ᵀ) diag(α_t) S_{t-1} + k_t (w_t ⊙ v_t)ᵀ; o_t = S_tᵀ q_t",
        decay="data-dependent, per channel",
        update="delta rule, erasing and writing gated apart",
        paper="arXiv:2605.22791",
        d_state="rows K of each head's matrix",
    )

    @property
    def step_sizes(self) -> int:
        """One for each row of each head: β is the gate b, which erases."""
        return self.num_heads * self.d_state


class GatedDeltaNet2(ChannelDecayDeltaRule):
    """Gated DeltaNet-2. Decode state: a `DeltaRuleState`."""

    def __init__(self, config: GatedDeltaNet2Config, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        self.write = Dense(d_model, d_model, rngs=rngs)

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T I"], memory: Any
    ) -> tuple[Float[Array, "B T H V"], Any]:
        q, k, v = self._split(qkv)
        k, log_decay = self._unit_vectors(k), self._log_decay(x)
        erased = self._beta(x).reshape(k.shape) * k * jnp.exp(log_decay)
        return generalized_delta_rule(
            self._unit_vectors(q) * self.rows**-0.5,
            k,
            v * jax.nn.sigmoid(self.write(x)).reshape(v.shape),
            a=-erased.astype(k.dtype),
            b=k,
            log_decay=log_decay,
            initial_state=memory,
            **self.config.scan_options,
        )


GatedDeltaNet2Config.mixer = GatedDeltaNet2
