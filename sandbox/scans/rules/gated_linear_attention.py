"""Gated linear attention: the state decays diagonally and adds one outer product per token.

`gated_linear_attention` states the equation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.argument_checks import check_shape
from sandbox.scans.dispatch import run_rule
from sandbox.scans.rule import Example, Rule
from sandbox.scans.rules.parts.algebra import matmul
from sandbox.scans.rules.parts.decay import chunk_decay
from sandbox.scans.rules.parts.draws import draw_log_decay, draw_queries_keys_values
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


class GatedLinearAttentionInputs(NamedTuple):
    """The inputs of one token; in a chunk every array has a leading time axis."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    log_decay: Float[Array, "*C 1"] | Float[Array, "*C K"] | None = None
    bonus: Float[Array, "*C K"] | None = None
    starts: Starts = None


def step(state: State, inputs: GatedLinearAttentionInputs) -> tuple[State, Float[Array, "V"]]:
    """Updates the state by one token."""
    q, k, v, log_decay, bonus, starts = inputs
    state = carried(starts, state)
    written = k[:, None] * v[None, :]
    kept = state if log_decay is None else jnp.exp(log_decay)[:, None] * state
    new_state = kept + written
    read = new_state if bonus is None else state + bonus[:, None] * written
    return new_state, jnp.sum(q[:, None] * read, axis=0)


def chunk(state: State, inputs: GatedLinearAttentionInputs) -> tuple[State, Float[Array, "C V"]]:
    """Updates the state by C tokens, each of which reads the state before the chunk and the chunk so far.

    o = (q ⊙ from_start) S + tril(gram(q, k)) v ,   S' = whole ⊙ S + (k ⊙ to_end)ᵀ v
    """
    q, k, v, log_decay, bonus, starts = inputs
    decay = chunk_decay(forgotten(starts, log_decay), size=q.shape[0])
    if bonus is None:
        output = matmul(q * decay.from_start, state) + matmul(decay.causal_gram(q, k), v)
    else:
        decay, before = decay.exclusive(), carried(starts, q)  # a token reads before it writes
        output = matmul(before * decay.from_start, state) + matmul(decay.gram(before, k), v)
        output = output + jnp.sum(q * bonus * k, axis=1, keepdims=True) * v
    new_state = decay.whole * state + matmul(k * decay.to_end, v, "AᵀB")
    return new_state, output


def default_chunk_size(inputs: GatedLinearAttentionInputs) -> int:
    """The fastest size, as measured on CPU, forward and backward."""
    if inputs.log_decay is None:
        return 64
    return 32 if inputs.log_decay.shape[-1] == 1 else 16


def example(decay: str | None, *, fixed: bool = False, bonus: bool = False) -> Example:
    """Inputs with a "scalar" or "channel" decay, or without one."""

    def draw(key: PRNGKey, tokens: int, rows: int, columns: int) -> GatedLinearAttentionInputs:
        *keys, gate, u = jax.random.split(key, 5)
        return GatedLinearAttentionInputs(
            **draw_queries_keys_values(keys, tokens, rows, columns),
            log_decay=draw_log_decay(gate, decay, 1 if fixed else tokens, rows),
            bonus=jax.random.normal(u, (1, rows)) if bonus else None,
        )

    return draw


GATED_LINEAR_ATTENTION = Rule(
    name="gated_linear_attention",
    step=step,
    chunk=chunk,
    initial_state=empty_matrix,
    examples={
        "no decay": example(None),
        "scalar decay": example("scalar"),
        "scalar decay, fixed": example("scalar", fixed=True),
        "channel decay": example("channel"),
        "channel decay, bonus": example("channel", bonus=True),
        "channel decay, fixed, bonus": example("channel", fixed=True, bonus=True),
    },
    default_chunk_size=default_chunk_size,
    column_inputs=frozenset({"v"}),
    log_decay=lambda inputs: inputs.log_decay,
)


def gated_linear_attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    log_decay: LogDecay = None,
    bonus: Float[Array, "H K"] | None = None,
    *,
    initial_state: Float[Array, "B H K V"] | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Linear attention with a diagonal decay. `sandbox.scans` states the contract.

        S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_tᵀ ,   o_t = S_tᵀ q_t
        with a bonus u:                                      o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ q_t

    Sources: linear attention (arXiv:2006.16236), RetNet (arXiv:2307.08621, section 2), GLA (arXiv:2312.06635,
    section 4), Mamba-2 (arXiv:2405.21060, section 5); the bonus: RWKV-5 and 6 (arXiv:2404.05892, section 4).

    Args:
        q, k, v: queries, keys and values.
        log_decay: natural log of the decay per token, finite and <= 0. None keeps everything;
            `[H, 1]` or `[H, K]` is fixed over time; `[B, T, H, 1]` or `[B, T, H, K]` depends on the data.
        bonus: weight of the current token in its own output; the state is then read before the token is written.
    """
    dims = check_queries_keys_values(q, k, v)
    check_decay_and_state(log_decay, initial_state, dims)
    if bonus is not None:
        check_shape("bonus", bonus, "HK", dims)
    return run_rule(
        GATED_LINEAR_ATTENTION,
        GatedLinearAttentionInputs(q, k, v, over_time(log_decay), over_time(bonus)),
        dtype=v.dtype,
        initial_state=initial_state,
        segment_ids=segment_ids,
        implementation=implementation,
        chunk_size=chunk_size,
    )
