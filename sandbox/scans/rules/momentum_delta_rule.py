"""The delta rule with momentum: what a token writes goes into a second matrix, which goes on writing.

`momentum_delta_rule` states the equation; e_t is what the memory lacks of v_t.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.argument_checks import check_is_a, check_shape
from sandbox.scans.dispatch import run_rule
from sandbox.scans.rule import Rule
from sandbox.scans.rules.parts.algebra import exact_matmul, matmul, rows_and_columns, unit_lower_inverse
from sandbox.scans.rules.parts.decay import sum_log_decays
from sandbox.scans.rules.parts.draws import draw_queries_keys_values, draw_unit_vectors
from sandbox.scans.rules.parts.matrix_state import check_queries_keys_values, empty_matrix
from sandbox.scans.segments import SegmentIds, Starts, carried, forgotten
from sandbox.shapes import PRNGKey
from sandbox.state_kinds import StateKind


class MomentumState(NamedTuple):
    """The momentum Z and the memory S of each head."""

    momentum: Annotated[Float[Array, "... K V"], StateKind.memory]
    memory: Annotated[Float[Array, "... K V"], StateKind.memory]


class MomentumDeltaRuleInputs(NamedTuple):
    """The inputs of one token; in a chunk every array has a leading time axis."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    p: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    log_decay: Float[Array, "*C 1"]
    share: Float[Array, "*C 1"]
    log_momentum: Float[Array, "*C 1"]
    rate: Float[Array, "*C 1"]
    starts: Starts = None


def step(state: MomentumState, x: MomentumDeltaRuleInputs) -> tuple[MomentumState, Float[Array, "V"]]:
    """Updates both matrices by one token."""
    state = carried(x.starts, state)
    error = x.v - jnp.sum(x.p[:, None] * state.memory, axis=0)
    momentum = jnp.exp(x.log_momentum) * state.momentum + x.k[:, None] * (x.rate * error)[None, :]
    memory = jnp.exp(x.log_decay) * state.memory + x.share * momentum
    return MomentumState(momentum, memory), jnp.sum(x.q[:, None] * memory, axis=0)


def chunk(state: MomentumState, x: MomentumDeltaRuleInputs) -> tuple[MomentumState, Float[Array, "C V"]]:
    """Updates both matrices by C tokens, as the delta rule does with one: errors e solve a triangular system.

    With β the share and η the rate, let m_sj be what is left in Z, when token s writes, of what token j wrote
    there, and a_is what is left in S after token i of what token s added; both are lower triangular, and a⁻ is a
    before token i, not after it. Then c = a (β ⊙ m) is how much of η_j k_j e_jᵀ is in S after token i:

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
    recalled += matmul(p * jnp.sum(past * added_from_start.T, axis=1, keepdims=True), state.momentum)
    inverse = unit_lower_inverse(-exact_matmul(past, added) * matmul(p, k, "ABᵀ"))
    errors = exact_matmul(inverse, x.v - recalled)

    output = matmul(x.q * jnp.exp(decays.from_start), state.memory)
    output += matmul(x.q * jnp.sum(after * added_from_start.T, axis=1, keepdims=True), state.momentum)
    output += matmul(exact_matmul(after, added) * matmul(x.q, k, "ABᵀ"), errors)

    to_end = jnp.exp(decays.to_end)
    memory = jnp.exp(decays.whole) * state.memory
    memory += jnp.sum(to_end * added_from_start, axis=0, keepdims=True) * state.momentum
    memory += matmul(k * jnp.sum(to_end * added, axis=0, keepdims=True).T, errors, "AᵀB")
    momentum = jnp.exp(momenta.whole) * state.momentum + matmul(k * jnp.exp(momenta.to_end), errors, "AᵀB")
    return MomentumState(momentum, memory), output


def empty(x: MomentumDeltaRuleInputs) -> MomentumState:
    """Zeros for both matrices."""
    return MomentumState(empty_matrix(x), empty_matrix(x))


def example(key: PRNGKey, tokens: int, rows: int, columns: int) -> MomentumDeltaRuleInputs:
    """Inputs as early in training: keys of norm one, gates half open, slow decays."""
    q, k, v, *gates = jax.random.split(key, 7)
    keys = draw_unit_vectors(k, tokens, rows)
    log_decay, share, log_momentum, rate = (jax.random.normal(gate, (tokens, 1)) for gate in gates)
    return MomentumDeltaRuleInputs(
        **draw_queries_keys_values((q, k, v), tokens, rows, columns) | {"k": keys, "p": 0.9 * keys},
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
    examples={"gates": example},
    default_chunk_size=lambda inputs: 16,  # measured on CPU, forward and backward
    steps_up_to=512,
    column_inputs=frozenset({"v"}),
    log_decay=lambda inputs: inputs.log_decay,
)


def momentum_delta_rule(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    p: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    log_decay: Float[Array, "B T H"],
    share: Float[Array, "B T H"],
    log_momentum: Float[Array, "B T H"],
    rate: Float[Array, "B T H"],
    *,
    initial_state: MomentumState | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], MomentumState]:
    """The delta rule whose writes go on, as steps with momentum do. `sandbox.scans` states the contract.

        e_t = v_t - S_{t-1}ᵀ p_t
        Z_t = exp(log_momentum_t) Z_{t-1} + rate_t k_t e_tᵀ
        S_t = exp(log_decay_t) S_{t-1} + share_t Z_t ,   o_t = S_tᵀ q_t

    With a log_momentum of -200, p = exp(log_decay) k and a rate and share whose product is beta, it is the gated
    delta rule. A state has Z as momentum and S as memory, both `[B, H, K, V]`.

    Sources: Titans (arXiv:2501.00663, section 3.1), of which p = k and share = 1; Momentum DeltaNet
    (arXiv:2605.05838).

    Args:
        q, k, v: queries, keys and values.
        p: keys by which the memory is asked, before it decays, for what the token replaces.
        log_decay, log_momentum: natural logs of what is left of S and of Z, finite and <= 0.
        share: how much of Z is added to S.
        rate: step size. Nothing enforces that share, rate and momentum are small enough for S to stay bounded.
    """
    dims = check_queries_keys_values(q, k, v)
    check_shape("p", p, "BTHK", dims)
    gates = {"log_decay": log_decay, "share": share, "log_momentum": log_momentum, "rate": rate}
    for name, gate in gates.items():
        check_shape(name, gate, "BTH", dims)
    if initial_state is not None:
        check_is_a(MomentumState, "initial_state", initial_state)
        for name, matrix in initial_state._asdict().items():
            check_shape(f"initial_state.{name}", matrix, "BHKV", dims)
    return run_rule(
        MOMENTUM_DELTA_RULE,
        MomentumDeltaRuleInputs(q, k, p, v, **{name: gate[..., None] for name, gate in gates.items()}),
        dtype=v.dtype,
        initial_state=initial_state,
        segment_ids=segment_ids,
        implementation=implementation,
        chunk_size=chunk_size,
    )
