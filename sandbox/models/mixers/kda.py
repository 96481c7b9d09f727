"""Kimi Delta Attention (Kimi Team 2025, arXiv:2510.26692, sections 3 and 4).

    α_t = exp(-A softplus(x_t W₁ W₂ + b_Δ))
    S_t = (I - β_t k_t k_tᵀ) diag(α_t) S_{t-1} + β_t k_t v_tᵀ ,   o_t = S_tᵀ q_t
    y_t = (RMSNorm(o_t) ⊙ σ(x_t W₃ W₄)) W_O

Gated DeltaNet with a decay per row of memory. A is a scalar per head and starts uniform in 1..16; softplus(b_Δ),
with one element per row, starts log-uniform in 0.001..0.1. Both gates have a bottleneck of `gate_rank` channels.
The rest is in `layers/delta_rule.py`. The output gate has no bias, as in the released model and in transformers;
flash-linear-attention gives it one.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import DeltaRule, DeltaRuleConfig
from sandbox.models.layers.dense import LowRank
from sandbox.models.layers.gates import step_size_decay
from sandbox.models.layers.parameters import NoWeightDecay, step_size_bias
from sandbox.models.mixer import Card
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class KDAConfig(DeltaRuleConfig):
    """The delta rule on a memory whose rows decay, each by its own gate."""

    card: ClassVar[Card] = Card(
        equation="S_t = (I - β_t k_t k_tᵀ) diag(α_t) S_{t-1} + β_t k_t v_tᵀ; o_t = S_tᵀ q_t",
        decay="data-dependent, per channel",
        update="delta rule",
        paper="Kimi Team 2025, arXiv:2510.26692",
        d_state="rows K of each head's matrix",
    )

    gate_rank: int | None = None
    """Channels of the bottlenecks. None: d_model / num_heads, the channels of a value head."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gate_rank is not None:
            check_at_least("mixer.gate_rank", self.gate_rank, 1)


class KDA(DeltaRule):
    """Kimi Delta Attention. Decode state: a `DeltaRuleState`."""

    def __init__(self, config: KDAConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        heads, rows = config.num_heads, config.d_state
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        rank = d_model // heads if config.gate_rank is None else config.gate_rank
        self.dt = LowRank(d_model, rank, heads * rows, rngs=rngs)
        self.dt_bias = NoWeightDecay(step_size_bias(rngs.params(), heads * rows).reshape(heads, rows))
        rates = jax.random.uniform(rngs.params(), (heads, 1), jnp.float32, 1.0, 16.0)
        self.log_rates = NoWeightDecay(jnp.log(rates))
        self.gate = LowRank(d_model, rank, d_model, rngs=rngs)

    def _log_decay(self, x: Activations) -> Float[Array, "B T H K"]:
        dt = self.dt(x).reshape(*x.shape[:2], *self.dt_bias.shape)
        return step_size_decay(dt, self.dt_bias[...], self.log_rates[...])

    def _gate(self, x: Activations) -> Activations:
        return jax.nn.sigmoid(self.gate(x))


KDAConfig.mixer = KDA
