"""The delta rule with momentum: what a token writes goes into a second matrix, which goes on writing.

    e_t = v_t - S_{t-1}ᵀ p_t                        what the memory lacks, before it decays
    Z_t = μ_t Z_{t-1} + η_t k_t e_tᵀ                momentum, [K, V]
    S_t = α_t S_{t-1} + β_t Z_t ,   o_t = S_tᵀ q_t

With μ = 0 it is the delta rule. The error of a token depends on both matrices, so no rule of `sandbox.scans`
covers it.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.models.layers.delta_rule import DeltaRuleState, ScalarDecayDeltaRule
from sandbox.scans import Rule, run_rule
from sandbox.scans.rules.parts.algebra import exact_matmul, matmul, rows_and_columns, unit_lower_inverse
from sandbox.scans.rules.parts.decay import sum_log_decays
from sandbox.scans.segments import Starts, carried, forgotten
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


def chunk(state: MomentumMemory, x: MomentumInputs) -> tuple[MomentumMemory, Float[Array, "C V"]]:
    """Updates both matrices by C tokens, as the delta rule does with one: errors e solve a triangular system.

    Let m_sj be what is left in Z, when token s writes, of what token j wrote there, and a_is what is left in S
    after token i of what token s added; both are lower triangular, and a⁻ is a before token i, not after it.
    Then c = a (β ⊙ m) is how much of k_j e_jᵀ is in S after token i:

        e = v - (p ⊙ a⁻_0) S - (p ⊙ c⁻_0) Z - (c⁻ ⊙ p kᵀ) η e
        o = (q ⊙ a_0) S + (q ⊙ c_0) Z + (c ⊙ q kᵀ) η e                  _0: of what was there at the start
    """
    log_decay, log_momentum = (forgotten(x.starts, log) for log in (x.log_decay, x.log_momentum))
    decays, before = (sum_log_decays(log_decay, exclusive) for exclusive in (False, True))
    momenta = sum_log_decays(log_momentum)
    i, j = rows_and_columns(x.q.shape[0])
    kept = jnp.where(i >= j, jnp.exp(momenta.between), 0.0)  # m
    after, past = jnp.where(i >= j, jnp.exp(decays.between), 0.0), jnp.where(i > j, jnp.exp(before.between), 0.0)
    added, added_from_start = x.share * kept, x.share * jnp.exp(momenta.from_start)
    p, k = carried(x.starts, x.p), x.rate * x.k

    recalled = matmul(p * jnp.exp(before.from_start), state.memory)
    recalled += matmul(p * exact_matmul(past, added_from_start), state.momentum)
    inverse = unit_lower_inverse(-exact_matmul(past, added) * matmul(p, k, "ABᵀ"))
    errors = exact_matmul(inverse, x.v - recalled)

    output = matmul(x.q * jnp.exp(decays.from_start), state.memory)
    output += matmul(x.q * exact_matmul(after, added_from_start), state.momentum)
    output += matmul(exact_matmul(after, added) * matmul(x.q, k, "ABᵀ"), errors)

    to_end = jnp.exp(decays.to_end)
    memory = jnp.exp(decays.whole) * state.memory
    memory += jnp.sum(to_end * added_from_start, axis=0, keepdims=True) * state.momentum
    memory += matmul(k * exact_matmul(added.T, to_end), errors, "AᵀB")
    left = jnp.exp(momenta.whole) * state.momentum + matmul(k * jnp.exp(momenta.to_end), errors, "AᵀB")
    return MomentumMemory(left, memory), output


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
    chunk=chunk,
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
