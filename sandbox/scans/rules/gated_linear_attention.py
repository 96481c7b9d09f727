"""Gated linear attention: the state forgets by a diagonal decay and adds one outer product per token.

    S_t = diag(exp(g_t)) S_{t-1} + k_t v_tᵀ ,   o_t = S_tᵀ q_t

g_t is absent (linear attention, arXiv:2006.16236), one number per head (RetNet, arXiv:2307.08621; Mamba-2,
arXiv:2405.21060) or one per channel (GLA, arXiv:2312.06635, section 4). With a bonus u the token is read
before it is written (RWKV-5 and RWKV-6, arXiv:2404.05892, section 4):

    o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ q_t
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.rule import Example, Rule
from sandbox.scans.rules.parts.algebra import matmul
from sandbox.scans.rules.parts.decay import chunk_decay
from sandbox.scans.rules.parts.draws import draw_log_decay
from sandbox.shapes import PRNGKey

State = Float[Array, "K V"]


class GatedLinearAttentionInputs(NamedTuple):
    """What one token brings; in a chunk every array has a leading axis of time."""

    q: Float[Array, "*C K"]
    k: Float[Array, "*C K"]
    v: Float[Array, "*C V"]
    log_decay: Float[Array, "*C 1"] | Float[Array, "*C K"] | None = None
    bonus: Float[Array, "*C K"] | None = None


def step(state: State, inputs: GatedLinearAttentionInputs) -> tuple[State, Float[Array, "V"]]:
    """One token, as in the equation above."""
    q, k, v, log_decay, bonus = inputs
    written = k[:, None] * v[None, :]
    kept = state if log_decay is None else jnp.exp(log_decay)[:, None] * state
    new_state = kept + written
    read = new_state if bonus is None else state + bonus[:, None] * written
    return new_state, jnp.sum(q[:, None] * read, axis=0)


def chunk(state: State, inputs: GatedLinearAttentionInputs) -> tuple[State, Float[Array, "C V"]]:
    """C tokens: what they read from the state before the chunk, and from one another.

    o = (q ⊙ from_start) S + tril(gram(q, k)) v ,   S' = whole ⊙ S + (k ⊙ to_end)ᵀ v
    """
    q, k, v, log_decay, bonus = inputs
    reads_before_writing = bonus is not None
    decay = chunk_decay(log_decay, size=q.shape[0], exclusive=reads_before_writing)
    output = matmul(q * decay.from_start, state)
    if bonus is None:
        output = output + matmul(decay.causal_gram(q, k), v)
    else:
        output = output + matmul(decay.gram(q, k), v) + jnp.sum(q * bonus * k, axis=1, keepdims=True) * v
    new_state = decay.whole * state + matmul(k * decay.to_end, v, "AᵀB")
    return new_state, output


def default_chunk_size(inputs: GatedLinearAttentionInputs) -> int:
    """Measured on CPU, forward and backward."""
    if inputs.log_decay is None:
        return 64
    return 32 if inputs.log_decay.shape[-1] == 1 else 16


def example(decay: str | None, *, fixed: bool = False, bonus: bool = False) -> Example:
    """Inputs with a `decay` of "scalar" or "channel", or without one; keys of about norm one."""

    def draw(key: PRNGKey, tokens: int, rows: int, columns: int) -> GatedLinearAttentionInputs:
        q, k, v, gate, u = jax.random.split(key, 5)
        normal = jax.random.normal
        return GatedLinearAttentionInputs(
            q=normal(q, (tokens, rows)),
            k=normal(k, (tokens, rows)) * rows**-0.5,
            v=normal(v, (tokens, columns)),
            log_decay=draw_log_decay(gate, decay, 1 if fixed else tokens, rows),
            bonus=normal(u, (1, rows)) if bonus else None,
        )

    return draw


GATED_LINEAR_ATTENTION = Rule(
    name="gated_linear_attention",
    step=step,
    chunk=chunk,
    initial_state=lambda inputs: jnp.zeros((inputs.k.shape[-1], inputs.v.shape[-1])),
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
)
