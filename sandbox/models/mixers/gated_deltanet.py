"""Gated DeltaNet (Yang et al. 2024, arXiv:2412.06464, section 3).

    α_t = exp(-A softplus(x_t W_Δ + b_Δ))
    S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ ,   o_t = S_tᵀ q_t
    y_t = (RMSNorm(o_t) ⊙ silu(x_t W_G)) W_O

The decay is per head and parametrised as in Mamba-2: A > 0 starts uniform in 0..16 (from 0.01 on, as in
Qwen3-Next, so that log A is finite), softplus(b_Δ) log-uniform in 0.001..0.1. The rest is in
`layers/delta_rule.py`.

Values have `expand_v` times the model's channels: 2, as in Qwen3-Next and Zoology's runs; the authors' models have
1.5. As in Qwen3-Next, several value heads, each with its own β, decay and memory, may share a head of queries and
keys.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import DeltaRule, DeltaRuleConfig
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.gates import step_size_decay
from sandbox.models.layers.parameters import NoWeightDecay, step_size_bias
from sandbox.models.mixer import Card
from sandbox.option_checks import check_at_least, check_divides
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class GatedDeltaNetConfig(DeltaRuleConfig):
    """The delta rule on a memory that decays by one gate per head."""

    card: ClassVar[Card] = Card(
        equation="S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, α_t a number; o_t = S_tᵀ q_t",
        decay="data-dependent, per head",
        update="delta rule",
        paper="Yang et al. 2024, arXiv:2412.06464",
        d_state="rows K of each head's matrix",
    )

    num_value_heads: int | None = None
    """Number of value heads, a multiple of `num_heads` (heads of queries and keys). None: `num_heads`."""
    expand_v: int = 2
    """Channels of all value heads together, as a multiple of the width."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.num_value_heads", self.value_heads, 1)
        check_at_least("mixer.expand_v", self.expand_v, 1)
        check_divides("mixer.num_heads", self.num_heads, "mixer.num_value_heads", self.value_heads)

    @property
    def value_heads(self) -> int:
        return self.num_heads if self.num_value_heads is None else self.num_value_heads

    @property
    def value_expansion(self) -> int:
        return self.expand_v

    def check_width(self, d_model: int) -> None:
        name = "mixer.num_heads" if self.num_value_heads is None else "mixer.num_value_heads"
        check_divides(name, self.value_heads, "mixer.expand_v · model.d_model", self.expand_v * d_model)


class GatedDeltaNet(DeltaRule):
    """The gated delta rule. Decode state: a `DeltaRuleState`."""

    def __init__(self, config: GatedDeltaNetConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        heads = config.value_heads
        self.dt = Dense(d_model, heads, rngs=rngs)
        self.dt_bias = NoWeightDecay(step_size_bias(rngs.params(), heads))
        rates = jax.random.uniform(rngs.params(), (heads,), jnp.float32, 0.01, 16.0)
        self.log_rates = NoWeightDecay(jnp.log(rates))
        self.gate = Dense(d_model, config.expand_v * d_model, rngs=rngs)

    def _log_decay(self, x: Activations) -> Float[Array, "B T H 1"]:
        return step_size_decay(self.dt(x), self.dt_bias[...], self.log_rates[...])[..., None]

    def _gate(self, x: Activations) -> Float[Array, "B T I"]:
        return jax.nn.silu(self.gate(x))


GatedDeltaNetConfig.mixer = GatedDeltaNet
