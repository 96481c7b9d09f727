"""The generalized delta rule: the state is multiplied by a diagonal plus a matrix of rank one.

`generalized_delta_rule` states the equation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.argument_checks import check_shape
from sandbox.scans.dispatch import run_rule
from sandbox.scans.rule import Example, Rule
from sandbox.scans.rules.parts.algebra import exact_matmul, matmul, unit_lower_inverse
from sandbox.scans.rules.parts.decay import chunk_decay
from sandbox.scans.rules.parts.draws import (
    draw_log_decay,
    draw_queries_keys_values,
    draw_unit_vectors,
    with_each_decay,
)
from sandbox.scans.rules.parts.matrix_state import (
    LogDecay,
    check_decay_and_state,
    check_queries_keys_values,
    empty_matrix,
    over_time,
)
from sandbox.scans.segments import SegmentIds, Starts, carried, forgotten
from sandbox.shapes import PRNGKey

State = Float[Array, "K V"]


class GeneralizedDeltaRuleInputs(NamedTuple):
    """The inputs of one token; in a chunk every array has a leading time axis."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    a: Float[Array, "*C K"]
    b: Float[Array, "*C K"]
    log_decay: Float[Array, "*C 1"] | Float[Array, "*C K"] | None = None
    starts: Starts = None


def step(state: State, inputs: GeneralizedDeltaRuleInputs) -> tuple[State, Float[Array, "V"]]:
    """Updates the state by one token."""
    q, k, v, a, b, log_decay, starts = inputs
    state = carried(starts, state)
    recalled = jnp.sum(a[:, None] * state, axis=0)
    kept = state if log_decay is None else jnp.exp(log_decay)[:, None] * state
    new_state = kept + b[:, None] * recalled[None, :] + k[:, None] * v[None, :]
    return new_state, jnp.sum(q[:, None] * new_state, axis=0)


def chunk(state: State, inputs: GeneralizedDeltaRuleInputs) -> tuple[State, Float[Array, "C V"]]:
    """Updates the state by C tokens: gated linear attention that writes two values per token, v for k and u for b.

    u_t = S_{t-1}ᵀ a_t reads the state before the token, so `before` is `exclusive`. It solves a triangular system:

        u = (a ⊙ before.from_start) S + before.gram(a, k) v + before.gram(a, b) u
        o = (q ⊙ from_start) S + tril(gram(q, k)) v + tril(gram(q, b)) u
        S' = whole ⊙ S + (k ⊙ to_end)ᵀ v + (b ⊙ to_end)ᵀ u
    """
    q, k, v, a, b, log_decay, starts = inputs
    decay = chunk_decay(forgotten(starts, log_decay), size=q.shape[0])
    before, a = decay.exclusive(), carried(starts, a)
    from_the_rest = matmul(a * before.from_start, state) + matmul(before.gram(a, k), v)
    inverse = unit_lower_inverse(before.gram(a, b))  # does not need the state
    recalled = exact_matmul(inverse, from_the_rest)
    output = (
        matmul(q * decay.from_start, state)
        + matmul(decay.causal_gram(q, k), v)
        + matmul(decay.causal_gram(q, b), recalled)
    )
    written = matmul(k * decay.to_end, v, "AᵀB") + matmul(b * decay.to_end, recalled, "AᵀB")
    return decay.whole * state + written, output


def example(decay: str | None) -> Example:
    """Inputs with a "scalar" or "channel" decay, or without one; a and b as in RWKV-7, which is stable."""

    def draw(key: PRNGKey, tokens: int, rows: int, columns: int) -> GeneralizedDeltaRuleInputs:
        *keys, removal, rate, gate = jax.random.split(key, 6)
        removed = draw_unit_vectors(removal, tokens, rows)
        return GeneralizedDeltaRuleInputs(
            **draw_queries_keys_values(keys, tokens, rows, columns),
            a=-removed,
            b=removed * jax.nn.sigmoid(jax.random.normal(rate, (tokens, rows))),
            log_decay=draw_log_decay(gate, decay, tokens, rows),
        )

    return draw


GENERALIZED_DELTA_RULE = Rule(
    name="generalized_delta_rule",
    step=step,
    chunk=chunk,
    initial_state=empty_matrix,
    examples=with_each_decay(example),
    default_chunk_size=lambda inputs: 16,  # measured on CPU, forward and backward
    steps_up_to=768,
    column_inputs=frozenset({"v"}),
    log_decay=lambda inputs: inputs.log_decay,
)


def generalized_delta_rule(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    a: Float[Array, "B T H K"],
    b: Float[Array, "B T H K"],
    log_decay: LogDecay = None,
    *,
    initial_state: Float[Array, "B H K V"] | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Linear attention with a diagonal plus rank-one transition. `sandbox.scans` states the contract.

        S_t = (diag(exp(log_decay_t)) + b_t a_tᵀ) S_{t-1} + k_t v_tᵀ ,   o_t = S_tᵀ q_t

    Without decay, a = -beta k, b = k and v scaled by beta give the delta rule. RWKV-7 has a = -κ̂, b = κ̂ ⊙ η,
    with κ̂ of norm one and an in-context learning rate 0 <= η <= 1 per channel.

    Source: RWKV-7 (arXiv:2503.14456, section 4).

    Args:
        q, k, v: queries, keys and values.
        a: direction in which the state is read before it decays. The rule is stable if no transition
            `diag(exp(log_decay_t)) + b_t a_tᵀ` enlarges the state; nothing enforces this.
        b: direction in which the result is added back; a direction opposite to `a` removes it.
        log_decay: as in `gated_linear_attention`.
    """
    dims = check_queries_keys_values(q, k, v)
    check_shape("a", a, "BTHK", dims)
    check_shape("b", b, "BTHK", dims)
    check_decay_and_state(log_decay, initial_state, dims)
    return run_rule(
        GENERALIZED_DELTA_RULE,
        GeneralizedDeltaRuleInputs(q, k, v, a, b, over_time(log_decay)),
        dtype=v.dtype,
        initial_state=initial_state,
        segment_ids=segment_ids,
        implementation=implementation,
        chunk_size=chunk_size,
    )
