"""The generalized delta rule: the state is multiplied by a diagonal plus a matrix of rank one.

    S_t = (diag(exp(g_t)) + b_t a_tᵀ) S_{t-1} + k_t v_tᵀ ,   o_t = S_tᵀ q_t

This is RWKV-7 (arXiv:2503.14456, section 4) with a = -κ̂ and b = κ̂ ⊙ (in-context learning rate), for κ̂ of norm
one: a reads the state before it decays. g_t is absent, one number per head or one per channel.
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


class GeneralizedDeltaRuleInputs(NamedTuple):
    """What one token brings; in a chunk every array has a leading axis of time."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    a: Float[Array, "*C K"]
    b: Float[Array, "*C K"]
    log_decay: Float[Array, "*C 1"] | Float[Array, "*C K"] | None = None


def step(state: State, inputs: GeneralizedDeltaRuleInputs) -> tuple[State, Float[Array, "V"]]:
    """One token, as in the equation above."""
    q, k, v, a, b, log_decay = inputs
    recalled = jnp.sum(a[:, None] * state, axis=0)
    kept = state if log_decay is None else jnp.exp(log_decay)[:, None] * state
    new_state = kept + b[:, None] * recalled[None, :] + k[:, None] * v[None, :]
    return new_state, jnp.sum(q[:, None] * new_state, axis=0)


def chunk(state: State, inputs: GeneralizedDeltaRuleInputs) -> tuple[State, Float[Array, "C V"]]:
    """C tokens: gated linear attention that writes two values a token, v for k and u for b.

    u_t = S_{t-1}ᵀ a_t is what a recalls of the state before the token, so its decays are `exclusive`. It
    depends on the earlier ones of the chunk, through a triangular system:

        u = (a ⊙ before.from_start) S + before.gram(a, k) v + before.gram(a, b) u
        o = (q ⊙ from_start) S + tril(gram(q, k)) v + tril(gram(q, b)) u
        S' = whole ⊙ S + (k ⊙ to_end)ᵀ v + (b ⊙ to_end)ᵀ u
    """
    q, k, v, a, b, log_decay = inputs
    decay = chunk_decay(log_decay, size=q.shape[0])
    before = chunk_decay(log_decay, size=q.shape[0], exclusive=True)
    from_the_rest = matmul(a * before.from_start, state) + matmul(before.gram(a, k), v)
    recalled = solve_unit_lower(before.gram(a, b), from_the_rest)
    output = (
        matmul(q * decay.from_start, state)
        + matmul(decay.causal_gram(q, k), v)
        + matmul(decay.causal_gram(q, b), recalled)
    )
    written = matmul(k * decay.to_end, v, "AᵀB") + matmul(b * decay.to_end, recalled, "AᵀB")
    return decay.whole * state + written, output


def example(decay: str | None) -> Example:
    """Inputs with a `decay` of "scalar" or "channel", or without one; a and b as in RWKV-7, which is stable."""

    def draw(key: PRNGKey, tokens: int, rows: int, columns: int) -> GeneralizedDeltaRuleInputs:
        q, k, v, removal, rate, gate = jax.random.split(key, 6)
        normal = jax.random.normal
        removed = draw_unit_vectors(removal, tokens, rows)
        return GeneralizedDeltaRuleInputs(
            q=normal(q, (tokens, rows)),
            k=normal(k, (tokens, rows)) * rows**-0.5,
            v=normal(v, (tokens, columns)),
            a=-removed,
            b=removed * jax.nn.sigmoid(normal(rate, (tokens, rows))),
            log_decay=draw_log_decay(gate, decay, tokens, rows),
        )

    return draw


GENERALIZED_DELTA_RULE = Rule(
    name="generalized_delta_rule",
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
