"""The selective scan: every channel has N decaying state variables, with data-dependent step sizes and directions.

`selective_scan` states the equation: A is discretised by its exponential, B by Euler's rule. Here the columns of
the state `[N, E]` are the channels. `exp(dt_t A)` and `dt_t B_t x_t`, of the size of the state, exist for one
token at a time.
"""

from statistics import mode
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.argument_checks import check_shape, read_dims
from sandbox.scans.dispatch import run_rule
from sandbox.scans.rule import Rule
from sandbox.scans.segments import SegmentIds, Starts, carried
from sandbox.shapes import PRNGKey

State = Float[Array, "N E"]


class SelectiveScanInputs(NamedTuple):
    """The inputs of one token; A is the same for all of them."""

    x: Float[Array, "E"]
    dt: Float[Array, "E"]
    A: Float[Array, "N E"]
    Bm: Float[Array, "N"]
    Cm: Float[Array, "N"]
    starts: Starts = None


def step(state: State, inputs: SelectiveScanInputs) -> tuple[State, Float[Array, "E"]]:
    """Updates the state by one token."""
    x, dt, A, Bm, Cm, starts = inputs
    state = carried(starts, state)
    new_state = jnp.exp(dt[None, :] * A) * state + Bm[:, None] * (dt * x)[None, :]
    return new_state, jnp.sum(Cm[:, None] * new_state, axis=0)


def example(key: PRNGKey, tokens: int, rows: int, columns: int) -> SelectiveScanInputs:
    """Inputs with A from -1 to -N, as Mamba-1 initialises it, and step sizes around 0.1."""
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
    column_inputs=frozenset({"x", "dt", "A"}),
    values="x",
    log_decay=lambda inputs: inputs.dt[..., None, :] * inputs.A,
)


def selective_scan(
    x: Float[Array, "B T E"],
    dt: Float[Array, "B T E"],
    A: Float[Array, "E N"],
    Bm: Float[Array, "B T N"],
    Cm: Float[Array, "B T N"],
    *,
    initial_state: Float[Array, "B E N"] | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T E"], Float[Array, "B E N"]]:
    """The selective state-space model of Mamba-1. `sandbox.scans` states the contract.

        h_t = exp(dt_t A) h_{t-1} + dt_t Bm_t x_t ,   y_t = Cm_t · h_t

    Source: Mamba (arXiv:2312.00752, section 3.2, algorithm 2). Its skip `D ⊙ x_t` and its gate are left to the
    caller.

    Args:
        x: inputs of the channels.
        dt: step sizes, >= 0.
        A: decay rates, <= 0.
        Bm: direction in which a token is written, shared by the channels.
        Cm: direction in which the state is read, shared by the channels.
    """
    dims = read_dims("x", x, "BTE")
    # The most common size, so that the error names the array that differs.
    dims["N"] = mode([array.shape[-1] for array in (Bm, Cm, A) if jnp.ndim(array)] or [0])
    check_shape("dt", dt, "BTE", dims)
    check_shape("A", A, "EN", dims)
    check_shape("Bm", Bm, "BTN", dims)
    check_shape("Cm", Cm, "BTN", dims)
    if initial_state is not None:
        check_shape("initial_state", initial_state, "BEN", dims)
    outputs, final_state = run_rule(
        SELECTIVE_SCAN,
        SelectiveScanInputs(x[:, :, None], dt[:, :, None], A.T[None, None, None], Bm[:, :, None], Cm[:, :, None]),
        dtype=x.dtype,
        initial_state=None if initial_state is None else jnp.swapaxes(initial_state, 1, 2)[:, None],
        segment_ids=segment_ids,
        implementation=implementation,
        chunk_size=chunk_size,
    )
    return outputs[:, :, 0], jnp.swapaxes(final_state[:, 0], 1, 2)
