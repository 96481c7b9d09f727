"""mLSTM: the matrix memory of xLSTM, with an exponential input gate.

`mlstm` states the equation. i_t = exp(input_gate_t) has no bound, so C and n are kept in units of exp(m_t)
(arXiv:2405.04517, appendix A.3), in which the same map is, with f_t = exp(log_forget_t),

    m_t = max(log f_t + m_{t-1}, log i_t)
    C_t = exp(log f_t + m_{t-1} - m_t) C_{t-1} + exp(log i_t - m_t) k_t v_tᵀ ,   n_t likewise
    h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, exp(-m_t))

Every m_t gives the same h, so it is a constant to derivatives where it is chosen (`stop_gradient`). It is an
ordinary value where the next token or chunk uses it, so the m of an initial state has its true gradient, and C_t
and n_t of a final state have theirs in the units in which they are returned.

Before the first token C, n and m are zero, as in the authors' code. Any m would represent the same state, but a
very negative one makes exp(-m_t) overflow.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from sandbox.scans.argument_checks import check_is_a, check_shape
from sandbox.scans.dispatch import run_rule
from sandbox.scans.rule import Rule
from sandbox.scans.rules.parts.algebra import matmul, rows_and_columns
from sandbox.scans.rules.parts.decay import sum_log_decays
from sandbox.scans.rules.parts.draws import draw_queries_keys_values
from sandbox.scans.rules.parts.matrix_state import check_queries_keys_values, empty_matrix
from sandbox.scans.segments import NOTHING_LEFT, SegmentIds, Starts, carried
from sandbox.shapes import PRNGKey
from sandbox.state_kinds import StateKind

NEVER = -1e30
"""The log of the input gate of a token that is not written."""


class MLSTMState(NamedTuple):
    """Memory and normalizer in units of exp(stabilizer): C, n and m of the paper."""

    memory: Annotated[Float[Array, "... K V"], StateKind.memory]
    normalizer: Annotated[Float[Array, "... 1 K"], StateKind.normaliser]
    stabilizer: Annotated[Float[Array, "... 1 1"], StateKind.normaliser]


class MLSTMInputs(NamedTuple):
    """The inputs of one token; in a chunk every array has a leading time axis."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    input_gate: Float[Array, "*C 1"]
    log_forget: Float[Array, "*C 1"]
    starts: Starts = None


def step(state: MLSTMState, inputs: MLSTMInputs) -> tuple[MLSTMState, Float[Array, "V"]]:
    """Updates the state by one token."""
    q, k, v, input_gate, log_forget, starts = inputs
    state = carried(starts, state)
    log_kept = log_forget[None, :] + state.stabilizer
    stabilizer = lax.stop_gradient(jnp.maximum(log_kept, input_gate[None, :]))
    kept, written = jnp.exp(log_kept - stabilizer), jnp.exp(input_gate[None, :] - stabilizer)
    memory = kept * state.memory + written * (k[:, None] * v[None, :])
    normalizer = kept * state.normalizer + written * k[None, :]
    read = jnp.sum(q[:, None] * memory, axis=0, keepdims=True)
    weight = jnp.sum(q[None, :] * normalizer, axis=1, keepdims=True)
    return MLSTMState(memory, normalizer, stabilizer), normalize(read, weight, stabilizer)[0]


def chunk(state: MLSTMState, inputs: MLSTMInputs) -> tuple[MLSTMState, Float[Array, "C V"]]:
    """Updates the state by C tokens, each with its own m_i over the state before the chunk and the tokens j <= i.

        w_ij = log i_j + Σ_{j < s <= i} log f_s ,   z_i = m + Σ_{s <= i} log f_s
        m_i = max(z_i, max_{j <= i} w_ij) ,   A_ij = exp(w_ij - m_i) q_i · k_j
        h_i = (exp(z_i - m_i) Cᵀ q_i + Σ_j A_ij v_j) / max(|exp(z_i - m_i) nᵀ q_i + Σ_j A_ij|, exp(-m_i))

    and C, n and m at the end of the chunk likewise, without a query.
    """
    q, k, v, input_gate, log_forget, starts = inputs
    sums = sum_log_decays(log_forget if starts is None else log_forget + NOTHING_LEFT * lax.stop_gradient(starts))
    i, j = rows_and_columns(q.shape[0])

    log_kept = sums.from_start + state.stabilizer
    log_written = jnp.where(i >= j, sums.between + input_gate.T, NEVER)
    stabilizers = largest(log_kept, log_written, axis=1)
    kept = jnp.exp(log_kept - stabilizers)
    attention = jnp.exp(log_written - stabilizers) * matmul(q, k, "ABᵀ")
    read = kept * matmul(q, state.memory) + matmul(attention, v)
    weight = kept * jnp.sum(q * state.normalizer, axis=1, keepdims=True)
    weight = weight + jnp.sum(attention, axis=1, keepdims=True)

    log_kept = sums.whole + state.stabilizer
    log_written = sums.to_end + input_gate
    stabilizer = largest(log_kept, log_written, axis=0)
    if starts is not None:
        log_empty = jnp.where(starts > 0, log_forget, NEVER)  # the m = 0 before a segment, after its first token
        stabilizer = largest(stabilizer, sums.to_end + log_empty, axis=0)
    kept = jnp.exp(log_kept - stabilizer)
    written = jnp.exp(log_written - stabilizer) * k
    memory = kept * state.memory + matmul(written, v, "AᵀB")
    normalizer = kept * state.normalizer + jnp.sum(written, axis=0, keepdims=True)
    return MLSTMState(memory, normalizer, stabilizer), normalize(read, weight, stabilizers)


def largest(log_kept: Float[Array, "_ 1"], log_written: Float[Array, "_ _"], axis: int) -> Float[Array, "_ 1"]:
    """The m in whose units no weight exceeds one; a constant to derivatives."""
    log_kept, log_written = lax.stop_gradient((log_kept, log_written))
    return jnp.maximum(log_kept, jnp.max(log_written, axis=axis, keepdims=True))


def normalize(
    read: Float[Array, "C V"], weight: Float[Array, "C 1"], stabilizer: Float[Array, "C 1"]
) -> Float[Array, "C V"]:
    """`read / max(|weight|, exp(-stabilizer))`.

    The exponent is clipped so that neither the exponential nor its inverse square, which is in the derivative,
    overflows. exp(-40) is less than the rounding error of a weight of order one; below -80 the output is zero.
    """
    least = jnp.exp(-jnp.clip(stabilizer, -80.0, 40.0))
    return read / jnp.maximum(jnp.abs(weight), least)


def example(key: PRNGKey, tokens: int, rows: int, columns: int) -> MLSTMInputs:
    """Inputs with gates as early in training, some open and others closed."""
    *keys, input_gate, forget_gate = jax.random.split(key, 5)
    normal = jax.random.normal
    return MLSTMInputs(
        **draw_queries_keys_values(keys, tokens, rows, columns),
        input_gate=normal(input_gate, (tokens, 1)),
        log_forget=jax.nn.log_sigmoid(1.0 + normal(forget_gate, (tokens, 1))),
    )


def initial_state(inputs: MLSTMInputs) -> MLSTMState:
    """Zeros for C, n and m."""
    return MLSTMState(empty_matrix(inputs), jnp.zeros((1, inputs.k.shape[-1])), jnp.zeros((1, 1)))


MLSTM = Rule(
    name="mlstm",
    step=step,
    chunk=chunk,
    initial_state=initial_state,
    examples={"exponential input gate": example},
    padding={"input_gate": NEVER},
    default_chunk_size=lambda inputs: 32,  # measured on CPU, forward and backward
    column_inputs=frozenset({"v"}),
    log_decay=lambda inputs: inputs.log_forget,
    column_states=MLSTMState._make((True, False, False)),
)


def mlstm(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    input_gate: Float[Array, "B T H"],
    log_forget: Float[Array, "B T H"],
    *,
    initial_state: MLSTMState | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], MLSTMState]:
    """Linear attention with an exponential input gate and a normalizer. `sandbox.scans` states the contract.

        C_t = exp(log_forget_t) C_{t-1} + exp(input_gate_t) k_t v_tᵀ
        n_t = exp(log_forget_t) n_{t-1} + exp(input_gate_t) k_t ,   h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, 1)

    A state has C as memory `[B, H, K, V]`, n as normalizer `[B, H, 1, K]`, and m as stabilizer `[B, H, 1, 1]`. C
    and n are in units of exp(m_t), m_t = max(log_forget_t + m_{t-1}, input_gate_t), so that no gate overflows. The
    final m is a constant to derivatives.

    Source: xLSTM (arXiv:2405.04517, section 2.3), which also divides keys by sqrt(K).

    Args:
        q, k, v: queries, keys and values.
        input_gate: natural log of the input gate i_t, of any sign: the pre-activation of the paper.
        log_forget: natural log of the forget gate f_t, finite and <= 0: log_sigmoid of its pre-activation.
    """
    dims = check_queries_keys_values(q, k, v) | {"1": 1}
    check_shape("input_gate", input_gate, "BTH", dims)
    check_shape("log_forget", log_forget, "BTH", dims)
    if initial_state is not None:
        check_is_a(MLSTMState, "initial_state", initial_state)
        for name, letters in {"memory": "BHKV", "normalizer": "BH1K", "stabilizer": "BH11"}.items():
            check_shape(f"initial_state.{name}", getattr(initial_state, name), letters, dims)
    return run_rule(
        MLSTM,
        MLSTMInputs(q, k, v, input_gate[..., None], log_forget[..., None]),
        dtype=v.dtype,
        initial_state=initial_state,
        segment_ids=segment_ids,
        implementation=implementation,
        chunk_size=chunk_size,
    )
