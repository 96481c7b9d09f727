"""The gated delta rule: each token replaces the value that the state returns for its key.

`gated_delta_rule` states the equation; β is `beta`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.argument_checks import check_segment_ids, check_shape
from sandbox.scans.dispatch import run_rule
from sandbox.scans.layout import at_first_step, one_after_the_other
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
from sandbox.taps import tap_read, tap_values

State = Float[Array, "K V"]


class GatedDeltaRuleInputs(NamedTuple):
    """The inputs of one token; in a chunk every array has a leading time axis."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    beta: Float[Array, "*C 1"]
    log_decay: Float[Array, "*C 1"] | Float[Array, "*C K"] | None = None
    starts: Starts = None


def step(state: State, inputs: GatedDeltaRuleInputs) -> tuple[State, Float[Array, "V"]]:
    """Updates the state by one token: the value that it returns for k moves towards v by a fraction β."""
    q, k, v, beta, log_decay, starts = inputs
    state = carried(starts, state)
    kept = state if log_decay is None else jnp.exp(log_decay)[:, None] * state
    recalled = jnp.sum(k[:, None] * kept, axis=0)
    new_state = kept + k[:, None] * (beta * (v - recalled))[None, :]
    return new_state, jnp.sum(q[:, None] * new_state, axis=0)


def chunk(state: State, inputs: GatedDeltaRuleInputs) -> tuple[State, Float[Array, "C V"]]:
    """Updates the state by C tokens: gated linear attention with u_t = β_t (v_t - what k_t recalls) as values.

    These corrections solve a triangular system (the WY form of arXiv:2406.06484, section 3):

        u = β ⊙ (v - (k ⊙ from_start) S - gram(k, k) u)
        o = (q ⊙ from_start) S + tril(gram(q, k)) u ,   S' = whole ⊙ S + (k ⊙ to_end)ᵀ u
    """
    q, k, v, beta, log_decay, starts = inputs
    decay = chunk_decay(forgotten(starts, log_decay), size=q.shape[0])
    recalled = matmul(k * decay.from_start, state)
    inverse = unit_lower_inverse(-beta * decay.gram_of_rows(k))  # does not need the state
    corrections = exact_matmul(inverse, beta * (v - recalled))
    output = matmul(q * decay.from_start, state) + matmul(decay.causal_gram(q, k), corrections)
    new_state = decay.whole * state + matmul(k * decay.to_end, corrections, "AᵀB")
    return new_state, output


def example(decay: str | None) -> Example:
    """Inputs with a "scalar" or "channel" decay, or without one; keys of norm one."""

    def draw(key: PRNGKey, tokens: int, rows: int, columns: int) -> GatedDeltaRuleInputs:
        q, k, v, beta, gate = jax.random.split(key, 5)
        drawn = draw_queries_keys_values((q, k, v), tokens, rows, columns)
        return GatedDeltaRuleInputs(
            **drawn | {"k": draw_unit_vectors(k, tokens, rows)},
            beta=jax.nn.sigmoid(jax.random.normal(beta, (tokens, 1))),
            log_decay=draw_log_decay(gate, decay, tokens, rows),
        )

    return draw


GATED_DELTA_RULE = Rule(
    name="gated_delta_rule",
    step=step,
    chunk=chunk,
    initial_state=empty_matrix,
    examples=with_each_decay(example),
    default_chunk_size=lambda inputs: 16,  # measured on CPU, forward and backward
    steps_up_to=512,
    column_inputs=frozenset({"v"}),
    log_decay=lambda inputs: inputs.log_decay,
)


def gated_delta_rule(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    beta: Float[Array, "B T H"],
    log_decay: LogDecay = None,
    *,
    initial_state: Float[Array, "B H K V"] | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Linear attention that replaces the value of a key. `sandbox.scans` states the contract.

        S_t = (I - beta_t k_t k_tᵀ) diag(exp(log_decay_t)) S_{t-1} + beta_t k_t v_tᵀ ,   o_t = S_tᵀ q_t

    Sources: DeltaNet (arXiv:2406.06484, section 2), Gated DeltaNet (arXiv:2412.06464, section 3), Kimi Delta
    Attention (arXiv:2510.26692, section 3).

    Args:
        q: queries.
        k: keys, usually of norm one. The rule is stable for `beta_t |k_t|² <= 2`.
        v: values.
        beta: step size, 0 to 1; up to 2 gives the transition negative eigenvalues (arXiv:2411.12537).
        log_decay: as in `gated_linear_attention`.
    """
    dims = check_queries_keys_values(q, k, v)
    check_shape("beta", beta, "BTH", dims)
    check_decay_and_state(log_decay, initial_state, dims)
    return run_rule(
        GATED_DELTA_RULE,
        GatedDeltaRuleInputs(q, k, v, beta[..., None], over_time(log_decay)),
        dtype=v.dtype,
        initial_state=initial_state,
        segment_ids=segment_ids,
        implementation=implementation,
        chunk_size=chunk_size,
    )


def gated_delta_product(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T N H K"],
    v: Float[Array, "B T N H V"],
    beta: Float[Array, "B T N H"],
    log_decay: LogDecay = None,
    *,
    initial_state: Float[Array, "B H K V"] | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """N steps of the delta rule for each token: the gated delta rule over T · N tokens, read at each N-th.

        S ← diag(exp(log_decay_t)) S_{t-1} ,   S ← S + beta_j k_j (v_j - Sᵀ k_j)ᵀ for j = 1 … N ,   o_t = Sᵀ q_t

    Source: DeltaProduct (arXiv:2502.10297, section 3).

    Args:
        q: queries.
        k, v, beta: keys, values and step sizes of the steps of each token, as in `gated_delta_rule`.
        log_decay: as in `gated_linear_attention`; a token decays once, before its first step.
        chunk_size: counts steps.
    """
    if k.ndim != 5 or v.ndim != 5 or beta.ndim != 4:
        raise ValueError(f"k {k.shape}, v {v.shape}, beta {beta.shape} must be [B, T, N, H, …]")
    steps = k.shape[2]
    if segment_ids is not None:
        check_segment_ids(segment_ids, *k.shape[:2])
        segment_ids = jnp.repeat(segment_ids, steps, axis=1)
    read, state = gated_delta_rule(
        one_after_the_other(q[:, :, None], before=steps - 1),
        one_after_the_other(k),
        one_after_the_other(tap_values(v)),
        one_after_the_other(beta),
        at_first_step(log_decay, k),
        initial_state=initial_state,
        segment_ids=segment_ids,
        implementation=implementation,
        chunk_size=chunk_size,
    )
    return tap_read(read[:, steps - 1 :: steps]), state
