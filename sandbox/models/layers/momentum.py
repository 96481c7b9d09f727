"""The delta rule with momentum: what a token writes goes into a second matrix, which goes on writing.

    e_t = v_t - S_{t-1}ᵀ p_t                        what the memory lacks, before it decays
    Z_t = μ_t Z_{t-1} + η_t k_t e_tᵀ                momentum, [K, V]
    S_t = α_t S_{t-1} + β_t Z_t ,   o_t = S_tᵀ q_t

With μ = 0 it is the delta rule. The error of a token depends on both matrices, so no existing rule covers it; it
runs token by token in training too, by any driver, and has no form for a chunk.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import DeltaRuleState, ScalarDecayDeltaRule
from sandbox.scans import Rule, run_rule
from sandbox.scans.segments import Starts, carried
from sandbox.shapes import PRNGKey
from sandbox.state_kinds import StateKind


class MomentumMemory(NamedTuple):
    """The momentum Z and the memory S of each head."""

    momentum: Annotated[Float[Array, "... K V"], StateKind.memory]
    memory: Annotated[Float[Array, "... K V"], StateKind.memory]


class MomentumInputs(NamedTuple):
    """The inputs of one token; q, k, p `[K]`, v `[V]`, the rest `[1]`: log α, β, log μ and η."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    p: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    log_decay: Float[Array, "*C 1"]
    share: Float[Array, "*C 1"]
    log_momentum: Float[Array, "*C 1"]
    rate: Float[Array, "*C 1"]
    starts: Starts = None


def step(state: MomentumMemory, x: MomentumInputs) -> tuple[MomentumMemory, Float[Array, "V"]]:
    """Updates both matrices by one token."""
    state = carried(x.starts, state)
    error = x.v - jnp.sum(x.p[:, None] * state.memory, axis=0)
    momentum = jnp.exp(x.log_momentum) * state.momentum + x.k[:, None] * (x.rate * error)[None, :]
    memory = jnp.exp(x.log_decay) * state.memory + x.share * momentum
    return MomentumMemory(momentum, memory), jnp.sum(x.q[:, None] * memory, axis=0)


def empty(x: MomentumInputs) -> MomentumMemory:
    """Zeros for both matrices."""
    zeros = jnp.zeros((x.k.shape[-1], x.v.shape[-1]))
    return MomentumMemory(zeros, zeros)


def example(key: PRNGKey, tokens: int, rows: int, columns: int) -> MomentumInputs:
    """Inputs as early in training: keys of length one, gates half open, slow decays."""
    q, k, v, *gates = jax.random.split(key, 7)
    keys = jax.random.normal(k, (tokens, rows))
    keys = keys / jnp.linalg.norm(keys, axis=-1, keepdims=True)
    log_decay, share, log_momentum, rate = (jax.random.normal(gate, (tokens, 1)) for gate in gates)
    return MomentumInputs(
        q=jax.random.normal(q, (tokens, rows)),
        k=keys,
        p=0.9 * keys,
        v=jax.random.normal(v, (tokens, columns)),
        log_decay=jax.nn.log_sigmoid(3 + log_decay),
        share=0.5 * jax.nn.sigmoid(share),
        log_momentum=jax.nn.log_sigmoid(log_momentum),
        rate=jax.nn.sigmoid(rate),
    )


MOMENTUM_DELTA_RULE = Rule(
    name="momentum_delta_rule",
    step=step,
    initial_state=empty,
    examples={"momentum": example},
    column_inputs=frozenset({"v"}),
    log_decay=lambda inputs: inputs.log_decay,
)


class MomentumDeltaRule(ScalarDecayDeltaRule):
    """Base of the mixers with this rule. Decode state: a `DeltaRuleState` of a `MomentumMemory`."""

    def init_state(self, batch_size: int, max_len: int) -> DeltaRuleState:
        state = super().init_state(batch_size, max_len)
        return state._replace(memory=MomentumMemory(state.memory, state.memory))

    def _update(
        self,
        q: Float[Array, "B T H K"],
        k: Float[Array, "B T H K"],
        p: Float[Array, "B T H K"],
        v: Float[Array, "B T H V"],
        gates: tuple[Float[Array, "B T H"], ...],
        memory: MomentumMemory,
    ) -> tuple[Float[Array, "B T H V"], Any]:
        """What is read, and the matrices after it; `gates` are log α, β, log μ and η."""
        inputs = MomentumInputs(q, k, p, v, *(gate[..., None] for gate in gates))
        options = self.config.scan_options
        return run_rule(MOMENTUM_DELTA_RULE, inputs, dtype=v.dtype, initial_state=memory, **options)
