"""The selective scan: every channel drives N decaying numbers, by a step size and directions from the data.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t ,   y_t = C_t · h_t

Mamba-1 (arXiv:2312.00752, section 3.2, algorithm 2), with A discretised by its exponential and B by Euler's
rule. The state is `[N, E]`: the E channels are its columns. What a token does to it, `exp(dt_t A)` and
`dt_t B_t x_t`, has the size of the state and is formed for one token at a time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.rule import Rule
from sandbox.shapes import PRNGKey

State = Float[Array, "N E"]


class SelectiveScanInputs(NamedTuple):
    """What one token brings; A is the same for all of them."""

    x: Float[Array, "E"]
    dt: Float[Array, "E"]
    A: Float[Array, "N E"]
    Bm: Float[Array, "N"]
    Cm: Float[Array, "N"]


def step(state: State, inputs: SelectiveScanInputs) -> tuple[State, Float[Array, "E"]]:
    """One token, as in the equation above."""
    x, dt, A, Bm, Cm = inputs
    new_state = jnp.exp(dt[None, :] * A) * state + Bm[:, None] * (dt * x)[None, :]
    return new_state, jnp.sum(Cm[:, None] * new_state, axis=0)


def example(key: PRNGKey, tokens: int, rows: int, columns: int) -> SelectiveScanInputs:
    """A as Mamba-1 starts it, -1 to -N; step sizes around 0.1."""
    x, dt, b, c = jax.random.split(key, 4)
    normal = jax.random.normal
    rates = 1.0 + jnp.arange(rows, dtype=jnp.float32)
    return SelectiveScanInputs(
        x=normal(x, (tokens, columns)),
        dt=jax.nn.softplus(normal(dt, (tokens, columns)) - 2.0),
        A=jnp.broadcast_to(-rates[:, None], (1, rows, columns)),
        Bm=normal(b, (tokens, rows)),
        Cm=normal(c, (tokens, rows)),
    )


SELECTIVE_SCAN = Rule(
    name="selective_scan",
    step=step,
    initial_state=lambda inputs: jnp.zeros(inputs.A.shape),
    examples={"fixed A": example},
    default_chunk_size=lambda inputs: 32,  # measured on CPU, forward and backward
    column_inputs=frozenset({"x", "dt", "A"}),
)
