"""mLSTM: the matrix memory of xLSTM, with an exponential input gate (arXiv:2405.04517, section 2.3, appendix A.3).

    C_t = f_t C_{t-1} + i_t k_t v_tᵀ ,   n_t = f_t n_{t-1} + i_t k_t ,   h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, 1)

f_t = exp(log_forget_t) is at most one and i_t = exp(input_gate_t) has no bound. The state is therefore kept in
units of exp(m_t), and with C, n read in these units and no other change to the map:

    m_t = max(log f_t + m_{t-1}, log i_t)
    C_t = exp(log f_t + m_{t-1} - m_t) C_{t-1} + exp(log i_t - m_t) k_t v_tᵀ ,   n_t likewise
    h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, exp(-m_t))

Every choice of m_t gives the same h, so m_t is a constant to derivatives where it is chosen (`stop_gradient`),
and an ordinary number where the next token or chunk uses it: a given first m has its true gradient. A final
state therefore has the gradients of C_t and n_t in the units in which they are returned.

Before the first token C, n and m are zero, as in the authors' code. With C and n zero any m stands for the same
state; a very negative one would only make exp(-m_t) overflow.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from sandbox.scans.rule import Rule
from sandbox.scans.rules.parts.algebra import matmul, rows_and_columns
from sandbox.scans.rules.parts.decay import sum_log_decays
from sandbox.shapes import PRNGKey

NEVER = -1e30
"""The log of the input gate of a token that is not written."""


class MLSTMState(NamedTuple):
    """Memory and normalizer in units of exp(stabilizer): C, n and m of the paper."""

    memory: Float[Array, "... K V"]
    normalizer: Float[Array, "... 1 K"]
    stabilizer: Float[Array, "... 1 1"]


class MLSTMInputs(NamedTuple):
    """What one token brings; in a chunk every array has a leading axis of time."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    input_gate: Float[Array, "*C 1"]
    log_forget: Float[Array, "*C 1"]


def step(state: MLSTMState, inputs: MLSTMInputs) -> tuple[MLSTMState, Float[Array, "V"]]:
    """One token, as in the equations above."""
    q, k, v, input_gate, log_forget = inputs
    log_kept = log_forget[None, :] + state.stabilizer
    stabilizer = lax.stop_gradient(jnp.maximum(log_kept, input_gate[None, :]))
    kept, written = jnp.exp(log_kept - stabilizer), jnp.exp(input_gate[None, :] - stabilizer)
    memory = kept * state.memory + written * (k[:, None] * v[None, :])
    normalizer = kept * state.normalizer + written * k[None, :]
    read = jnp.sum(q[:, None] * memory, axis=0, keepdims=True)
    weight = jnp.sum(q[None, :] * normalizer, axis=1, keepdims=True)
    return MLSTMState(memory, normalizer, stabilizer), normalize(read, weight, stabilizer)[0]


def chunk(state: MLSTMState, inputs: MLSTMInputs) -> tuple[MLSTMState, Float[Array, "C V"]]:
    """C tokens: every token i chooses its own m_i, over the state before the chunk and the tokens j <= i.

        w_ij = log i_j + Σ_{j < s <= i} log f_s ,   z_i = m + Σ_{s <= i} log f_s
        m_i = max(z_i, max_{j <= i} w_ij) ,   A_ij = exp(w_ij - m_i) q_i · k_j
        h_i = (exp(z_i - m_i) Cᵀ q_i + Σ_j A_ij v_j) / max(|exp(z_i - m_i) nᵀ q_i + Σ_j A_ij|, exp(-m_i))

    and C, n and m at the end of the chunk likewise, without a query.
    """
    q, k, v, input_gate, log_forget = inputs
    sums = sum_log_decays(log_forget)
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
    kept = jnp.exp(log_kept - stabilizer)
    written = jnp.exp(log_written - stabilizer) * k
    memory = kept * state.memory + matmul(written, v, "AᵀB")
    normalizer = kept * state.normalizer + jnp.sum(written, axis=0, keepdims=True)
    return MLSTMState(memory, normalizer, stabilizer), normalize(read, weight, stabilizers)


def largest(log_kept: Float[Array, "_ 1"], log_written: Float[Array, "_ _"], axis: int) -> Float[Array, "_ 1"]:
    """The unit m in which neither what is kept nor what is written is above one; a constant to derivatives."""
    log_kept, log_written = lax.stop_gradient((log_kept, log_written))
    return jnp.maximum(log_kept, jnp.max(log_written, axis=axis, keepdims=True))


def normalize(
    read: Float[Array, "C V"], weight: Float[Array, "C 1"], stabilizer: Float[Array, "C 1"]
) -> Float[Array, "C V"]:
    """`read / max(|weight|, exp(-stabilizer))`.

    The exponential is bounded so that neither it nor its inverse square, of which a derivative is made, overflows.
    Above 40 it is lost anyway in the rounding of a weight of order one, and below -80 the output is zero.
    """
    least = jnp.exp(-jnp.clip(stabilizer, -80.0, 40.0))
    return read / jnp.maximum(jnp.abs(weight), least)


def example(key: PRNGKey, tokens: int, rows: int, columns: int) -> MLSTMInputs:
    """Gates as they are early in training, some of each kind open and others closed."""
    q, k, v, input_gate, forget_gate = jax.random.split(key, 5)
    normal = jax.random.normal
    return MLSTMInputs(
        q=normal(q, (tokens, rows)),
        k=normal(k, (tokens, rows)) * rows**-0.5,
        v=normal(v, (tokens, columns)),
        input_gate=normal(input_gate, (tokens, 1)),
        log_forget=jax.nn.log_sigmoid(1.0 + normal(forget_gate, (tokens, 1))),
    )


def initial_state(inputs: MLSTMInputs) -> MLSTMState:
    """Nothing remembered; see above for m."""
    rows, columns = inputs.k.shape[-1], inputs.v.shape[-1]
    return MLSTMState(jnp.zeros((rows, columns)), jnp.zeros((1, rows)), jnp.zeros((1, 1)))


MLSTM = Rule(
    name="mlstm",
    step=step,
    chunk=chunk,
    initial_state=initial_state,
    examples={"exponential input gate": example},
    padding={"input_gate": NEVER},
    default_chunk_size=lambda inputs: 32,  # measured on CPU, forward and backward
    column_inputs=frozenset({"v"}),
    column_states=MLSTMState._make((True, False, False)),
)
