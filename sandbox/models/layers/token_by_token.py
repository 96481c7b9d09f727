"""Loops over tokens: nonlinear recurrences, which have no other form, and mixers that decode a row of segments."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.models.mixer import Mixer, State
from sandbox.models.segments import in_segments, open_starts
from sandbox.shapes import Activations


def token_by_token(
    cell: Callable[[Any, Array], tuple[Any, Array]], inputs: Float[Array, "B T I"], state: Any
) -> tuple[Float[Array, "B T E"], Any]:
    """Outputs and final state of a loop over `cell(state, inputs_t) -> (state, outputs_t)`, in float32.

    Every segment starts from `state`.
    """
    by_time, starts, empty = jnp.swapaxes(inputs.astype(jnp.float32), 0, 1), open_starts(), state
    if starts is None:
        state, outputs = jax.lax.scan(cell, state, by_time)
        return jnp.swapaxes(outputs, 0, 1), state

    def start_or_go_on(state: Any, token: tuple[Array, Array]) -> tuple[Any, Array]:
        starts, inputs = token

        def choose(empty: Array, leaf: Array) -> Array:
            return jnp.where(jnp.expand_dims(starts, range(1, leaf.ndim)), empty, leaf)

        return cell(jax.tree.map(choose, empty, state), inputs)

    state, outputs = jax.lax.scan(start_or_go_on, state, (starts.T, by_time))
    return jnp.swapaxes(outputs, 0, 1), state


def decode_segments(mixer: Mixer, x: Activations) -> Activations:
    """The outputs of a mixer for each segment of a row, from its `step` and an empty state where a segment starts.

    This is for mixers whose other forms look across borders; it is as slow as decoding. Every row has a state of
    its own here, since rows differ in the number of tokens so far, which the sequences of a batch share.
    """
    starts, empty = open_starts(), mixer.init_state(1, x.shape[1])

    def step(state: State, token: tuple[Array, Array]) -> tuple[State, Array]:
        start, here = token
        state = jax.tree.map(lambda new, old: jnp.where(start, new, old), empty, state)
        y, state = mixer.step(here[None], state)
        return state, y[0]

    with in_segments(None):
        return jax.vmap(lambda *row: _scan_in_chunks(step, empty, row))(starts, x)


def _scan_in_chunks(step: Callable[[Any, Any], tuple[Any, Array]], state: Any, inputs: Any) -> Array:
    """The outputs of `jax.lax.scan`, with gradients that store about 2 √T of the T states."""
    length = len(jax.tree.leaves(inputs)[0])
    size = math.isqrt(length)
    whole = length // size * size

    @jax.checkpoint
    def chunk(state: Any, inputs: Any) -> tuple[Any, Array]:
        return jax.lax.scan(step, state, inputs)

    chunks = jax.tree.map(lambda leaf: leaf[:whole].reshape(-1, size, *leaf.shape[1:]), inputs)
    state, outputs = jax.lax.scan(chunk, state, chunks)
    _, rest = chunk(state, jax.tree.map(lambda leaf: leaf[whole:], inputs))
    return jnp.concatenate([outputs.reshape(whole, *outputs.shape[2:]), rest])
