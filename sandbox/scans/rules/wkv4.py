"""WKV of RWKV-4: a running average of the values of each channel, weighted by exponentials of its keys.

             Σ_{i<t} exp(-(t-1-i) w + k_i) v_i + exp(u + k_t) v_t
    o_t  =  ------------------------------------------------------
             Σ_{i<t} exp(-(t-1-i) w + k_i)     + exp(u + k_t)

RWKV-4 (arXiv:2305.13048, section 3 and its appendix on numerical stability). The sums over i < t are kept as
`numerator · exp(maximum)` and `denominator · exp(maximum)`, with the largest exponent so far as `maximum`: every
exponential is of a number <= 0, for keys of any size.

A new maximum only chooses the scale, on which neither the sums nor the outputs depend: it is a constant to the
gradient. The maximum of the initial state is not a choice, and has one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from sandbox.scans.rule import Rule
from sandbox.shapes import PRNGKey

NOTHING_YET = -1e38
"""The maximum over no key: finite, so that no difference of two of them is undefined."""

Channels = Float[Array, "E"]


class WKV4State(NamedTuple):
    """The two sums over the tokens so far, both divided by exp(maximum)."""

    numerator: Channels
    denominator: Channels
    maximum: Channels


class WKV4Inputs(NamedTuple):
    """What one token brings."""

    k: Channels
    v: Channels
    w: Channels
    u: Channels


def step(state: WKV4State, inputs: WKV4Inputs) -> tuple[WKV4State, Channels]:
    """One token, as in the equation above: it is read with the weight u, and kept with the decay w."""
    k, v, w, u = inputs
    read = add_token(state, u + k, v)
    kept = add_token(state._replace(maximum=state.maximum - w), k, v)
    return kept, read.numerator / read.denominator


def add_token(state: WKV4State, exponent: Channels, v: Channels) -> WKV4State:
    """Both sums with one more term, of weight exp(exponent), on the scale of the larger exponent."""
    maximum = lax.stop_gradient(jnp.maximum(state.maximum, exponent))
    before, now = jnp.exp(state.maximum - maximum), jnp.exp(exponent - maximum)
    return WKV4State(before * state.numerator + now * v, before * state.denominator + now, maximum)


def initial_state(inputs: WKV4Inputs) -> WKV4State:
    """Empty sums."""
    zeros = jnp.zeros(inputs.k.shape)
    return WKV4State(zeros, zeros, jnp.full(inputs.k.shape, NOTHING_YET))


def example(key: PRNGKey, tokens: int, rows: int, columns: int) -> WKV4Inputs:
    """Channels that forget within a token and others that keep for hundreds."""
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
    default_chunk_size=lambda inputs: 32,  # measured on CPU, forward and backward
    column_inputs=frozenset(WKV4Inputs._fields),
)
