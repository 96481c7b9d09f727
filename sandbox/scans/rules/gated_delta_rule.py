"""The gated delta rule: before a value is written, what the state already returns for its key is removed.

    S_t = (I - β_t k_t k_tᵀ) diag(exp(g_t)) S_{t-1} + β_t k_t v_tᵀ ,   o_t = S_tᵀ q_t

g_t is absent (DeltaNet, arXiv:2406.06484), one number per head (Gated DeltaNet, arXiv:2412.06464, section 3)
or one per channel (Kimi Delta Attention, arXiv:2510.26692, section 3).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.rule import Example, Rule
from sandbox.scans.rules.parts.algebra import matmul, solve_unit_lower
from sandbox.scans.rules.parts.decay import chunk_decay
from sandbox.scans.rules.parts.draws import draw_log_decay, draw_unit_vectors
from sandbox.shapes import PRNGKey

State = Float[Array, "K V"]


class GatedDeltaRuleInputs(NamedTuple):
    """What one token brings; in a chunk every array has a leading axis of time."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    beta: Float[Array, "*C 1"]
    log_decay: Float[Array, "*C 1"] | Float[Array, "*C K"] | None = None


def step(state: State, inputs: GatedDeltaRuleInputs) -> tuple[State, Float[Array, "V"]]:
    """One token, as in the equation above: the state moves towards returning v for k, by β of the way."""
    q, k, v, beta, log_decay = inputs
    kept = state if log_decay is None else jnp.exp(log_decay)[:, None] * state
    recalled = jnp.sum(k[:, None] * kept, axis=0)
    new_state = kept + k[:, None] * (beta * (v - recalled))[None, :]
    return new_state, jnp.sum(q[:, None] * new_state, axis=0)


def chunk(state: State, inputs: GatedDeltaRuleInputs) -> tuple[State, Float[Array, "C V"]]:
    """C tokens: gated linear attention of the corrections u_t = β_t (v_t - what k_t recalls) as values.

    Each correction depends on the earlier ones of the chunk, through a triangular system (the WY form of
    arXiv:2406.06484, section 3):

        u = β ⊙ (v - (k ⊙ from_start) S - gram(k, k) u)
        o = (q ⊙ from_start) S + tril(gram(q, k)) u ,   S' = whole ⊙ S + (k ⊙ to_end)ᵀ u
    """
    q, k, v, beta, log_decay = inputs
    decay = chunk_decay(log_decay, size=q.shape[0])
    recalled = matmul(k * decay.from_start, state)
    corrections = solve_unit_lower(-beta * decay.gram(k, k), beta * (v - recalled))
    output = matmul(q * decay.from_start, state) + matmul(decay.causal_gram(q, k), corrections)
    new_state = decay.whole * state + matmul(k * decay.to_end, corrections, "AᵀB")
    return new_state, output


def example(decay: str | None) -> Example:
    """Inputs with a `decay` of "scalar" or "channel", or without one; keys of norm one."""

    def draw(key: PRNGKey, tokens: int, rows: int, columns: int) -> GatedDeltaRuleInputs:
        q, k, v, beta, gate = jax.random.split(key, 5)
        normal = jax.random.normal
        return GatedDeltaRuleInputs(
            q=normal(q, (tokens, rows)),
            k=draw_unit_vectors(k, tokens, rows),
            v=normal(v, (tokens, columns)),
            beta=jax.nn.sigmoid(normal(beta, (tokens, 1))),
            log_decay=draw_log_decay(gate, decay, tokens, rows),
        )

    return draw


GATED_DELTA_RULE = Rule(
    name="gated_delta_rule",
    step=step,
    chunk=chunk,
    initial_state=lambda inputs: jnp.zeros((inputs.k.shape[-1], inputs.v.shape[-1])),
    examples={
        "no decay": example(None),
        "scalar decay": example("scalar"),
        "channel decay": example("channel"),
    },
    default_chunk_size=lambda inputs: 16,  # measured on CPU, forward and backward
    column_inputs=frozenset({"v"}),
)
