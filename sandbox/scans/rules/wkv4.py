"""WKV of RWKV-4: a running average of the values of each channel, weighted by exponentials of its keys.

`wkv4` states the equation. Its sums over i < t are `numerator · exp(maximum)` and `denominator · exp(maximum)`,
with the largest exponent so far as `maximum`, so every exponential has an argument <= 0. A new maximum only sets
the scale and is a constant to derivatives; that of the initial state is an ordinary argument with a gradient.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from sandbox.scans.argument_checks import check_is_a, check_shape, read_dims
from sandbox.scans.dispatch import run_rule
from sandbox.scans.rule import Rule
from sandbox.scans.segments import SegmentIds, Starts
from sandbox.shapes import PRNGKey
from sandbox.state_kinds import StateKind

NOTHING_YET = -1e38
"""The maximum over no key: finite, so that the difference of two of them is not NaN."""

Channels = Float[Array, "E"]


class WKV4State(NamedTuple):
    """The two sums over the tokens so far, both divided by exp(maximum)."""

    numerator: Annotated[Channels, StateKind.memory]
    denominator: Annotated[Channels, StateKind.normaliser]
    maximum: Annotated[Channels, StateKind.normaliser]


class WKV4Inputs(NamedTuple):
    """The inputs of one token; w and u are the same for all of them."""

    k: Channels
    v: Channels
    w: Channels
    u: Channels
    starts: Starts = None


def step(state: WKV4State, inputs: WKV4Inputs) -> tuple[WKV4State, Channels]:
    """Updates the state by one token, read with weight exp(u + k) and stored with weight exp(k)."""
    k, v, w, u, starts = inputs
    if starts is not None:
        state = state._replace(maximum=state.maximum + NOTHING_YET * lax.stop_gradient(starts))
    read = add_token(state, u + k, v)
    kept = add_token(state._replace(maximum=state.maximum - w), k, v)
    return kept, read.numerator / read.denominator


def add_token(state: WKV4State, exponent: Channels, v: Channels) -> WKV4State:
    """Adds a term of weight exp(exponent) to both sums, and rescales them by the largest exponent."""
    maximum = lax.stop_gradient(jnp.maximum(state.maximum, exponent))
    before, now = jnp.exp(state.maximum - maximum), jnp.exp(exponent - maximum)
    return WKV4State(before * state.numerator + now * v, before * state.denominator + now, maximum)


def initial_state(inputs: WKV4Inputs) -> WKV4State:
    """Empty sums."""
    zeros = jnp.zeros(inputs.k.shape)
    return WKV4State(zeros, zeros, jnp.full(inputs.k.shape, NOTHING_YET))


def example(key: PRNGKey, tokens: int, rows: int, columns: int) -> WKV4Inputs:
    """Inputs with decays over one token in some channels and over hundreds in others."""
    k, v, w, u = jax.random.split(key, 4)
    normal = jax.random.normal
    return WKV4Inputs(
        k=normal(k, (tokens, columns)),
        v=normal(v, (tokens, columns)),
        w=jnp.exp(2.0 * normal(w, (1, columns)) - 2.0),
        u=normal(u, (1, columns)),
    )


WKV4 = Rule(
    name="wkv4",
    step=step,
    initial_state=initial_state,
    examples={"fixed w and u": example},
    column_inputs=frozenset({"k", "v", "w", "u"}),
    log_decay=lambda inputs: -inputs.w,
)


def wkv4(
    k: Float[Array, "B T E"],
    v: Float[Array, "B T E"],
    w: Float[Array, "E"],
    u: Float[Array, "E"],
    *,
    initial_state: WKV4State | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T E"], WKV4State]:
    """The running average of RWKV-4, safe for keys of any size. `sandbox.scans` states the contract.

        o_t = Σ_{i<=t} c_i v_i / Σ_{i<=t} c_i     with  c_i = exp(-(t-1-i) w + k_i) for i < t,  c_t = exp(u + k_t)

    Source: RWKV-4 (arXiv:2305.13048, section 3 and the appendix on numerical stability), without its receptance
    gate.

    Args:
        k: log weights of the tokens.
        v: values.
        w: decay of a log weight with each later token, > 0.
        u: added to the log weight of the current token.
        initial_state: three `[B, E]`: the sums of c_i v_i and c_i, both divided by exp(maximum), and the maximum.

    The maximum of the final state only sets a scale: it is a constant to derivatives.
    """
    dims = read_dims("k", k, "BTE")
    check_shape("v", v, "BTE", dims)
    check_shape("w", w, "E", dims)
    check_shape("u", u, "E", dims)
    state = None
    if initial_state is not None:
        check_is_a(WKV4State, "initial_state", initial_state)
        for name, array in initial_state._asdict().items():
            check_shape(f"initial_state.{name}", array, "BE", dims)
        state = WKV4State(*(array[:, None] for array in initial_state))
    outputs, final_state = run_rule(
        WKV4,
        WKV4Inputs(k[:, :, None], v[:, :, None], w[None, None, None], u[None, None, None]),
        dtype=v.dtype,
        initial_state=state,
        segment_ids=segment_ids,
        implementation=implementation,
        chunk_size=chunk_size,
    )
    return outputs[:, :, 0], WKV4State(*(array[:, 0] for array in final_state))
