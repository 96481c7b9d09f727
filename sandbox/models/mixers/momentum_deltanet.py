"""Momentum DeltaNet (arXiv:2605.05838): a delta rule whose writes go on, as a gradient step with momentum does.

    e_t = v_t - α_t S_{t-1}ᵀ k_t
    Z_t = μ_t Z_{t-1} + η_t k_t e_tᵀ ,   S_t = α_t S_{t-1} + β_t Z_t ,   o_t = S_tᵀ q̃_t
    f_t = η_t exp(c) ,   η_t = 1 + tanh(x_t W_η / √D)
    α_t = exp(-A softplus(x_t W_Δ + b_Δ)) / (1 + f_t²) ,   β_t = σ(x_t W_β) f_t² / (1 + f_t²)
    μ_t = max(exp(-M softplus(x_t W_μ + b_μ)), e⁻²) ,   q̃_t = l2norm(q_t - exp(d) k_t)
    y_t = (RMSNorm(o_t) ⊙ σ(x_t W_G)) W_O

The angle arctan f_t splits between what is kept and what is written, so that α + β <= 1. Per head: A, M, c and d,
which start as in the authors' code (`fla/layers/momentum_deltanet.py`): A and M uniform in 0..16 and exp(c) in
0..4, exp(d) in 0..1, all from 0.01 on so that their logs are finite. The rest is in `layers/delta_rule.py`, and
the recurrence is `momentum_delta_rule`.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import ScalarDecayConfig
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.gates import step_size_decay
from sandbox.models.layers.momentum import MomentumDeltaRule
from sandbox.models.layers.parameters import NoWeightDecay, step_size_bias
from sandbox.models.mixer import Card
from sandbox.scans import MomentumState, momentum_delta_rule
from sandbox.shapes import Activations, PRNGKey

_LEAST_LOG_MOMENTUM = -2.0


@dataclasses.dataclass(unsafe_hash=True)
class MomentumDeltaNetConfig(ScalarDecayConfig):
    """The delta rule with momentum, on a memory that decays by one gate per head."""

    card: ClassVar[Card] = Card(
        equation="Z_t = μ_t Z_{t-1} + η_t k_t (v_t - α_t S_{t-1}ᵀ k_t)ᵀ, S_t = α_t S_{t-1} + β_t Z_t; o = S_tᵀ q̃",
        decay="data-dependent, per head",
        update="delta rule, with momentum",
        paper="arXiv:2605.05838",
        d_state="rows K of each head's two matrices",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.negative_eigenvalues:
            raise ValueError("mixer.negative_eigenvalues=true: momentum_deltanet has none, as its α + β <= 1")


class MomentumDeltaNet(MomentumDeltaRule):
    """Momentum DeltaNet. Decode state: a `DeltaRuleState` of a `MomentumState`."""

    def __init__(self, config: MomentumDeltaNetConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        heads = config.value_heads
        self.rate = Dense(d_model, heads, rngs=rngs)
        self.momentum = Dense(d_model, heads, rngs=rngs)
        self.momentum_bias = NoWeightDecay(step_size_bias(rngs.params(), heads))
        self.momentum_log_rates = NoWeightDecay(_log_uniform_below(rngs.params(), heads, 16))
        self.log_factor = NoWeightDecay(_log_uniform_below(rngs.params(), heads, 4))
        self.log_correction = NoWeightDecay(_log_uniform_below(rngs.params(), config.num_heads, 1))

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T I"], memory: MomentumState
    ) -> tuple[Float[Array, "B T H V"], Any]:
        q, k, v = self._split(qkv)
        correction = jnp.repeat(jnp.exp(self.log_correction[...]), self.rows)
        q = self._unit_vectors(q - correction.astype(q.dtype) * k) * self.rows**-0.5
        k = self._unit_vectors(k)
        rate = 1 + jnp.tanh(self.rate(x).astype(jnp.float32) * x.shape[-1] ** -0.5)
        split = jnp.square(rate * jnp.exp(self.log_factor[...]))
        log_decay = self._log_decay(x)[..., 0] - jnp.log1p(split)
        share = self._beta(x) * split / (1 + split)
        log_momentum = step_size_decay(self.momentum(x), self.momentum_bias[...], self.momentum_log_rates[...])
        log_momentum = jnp.maximum(log_momentum, _LEAST_LOG_MOMENTUM)
        kept = k * jnp.exp(log_decay)[..., None].astype(k.dtype)
        gates = log_decay, share, log_momentum, rate
        return momentum_delta_rule(q, k, kept, v, *gates, initial_state=memory, **self.config.scan_options)

    def _gate(self, x: Activations) -> Float[Array, "B T I"]:
        return jax.nn.sigmoid(self.gate(x))


def _log_uniform_below(key: PRNGKey, size: int, most: int) -> Float[Array, "..."]:
    """Logs of numbers uniform in 0.01..most."""
    return jnp.log(jax.random.uniform(key, (size,), jnp.float32, 0.01, float(most)))


MomentumDeltaNetConfig.mixer = MomentumDeltaNet
