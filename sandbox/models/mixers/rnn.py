"""The simple recurrent network (Elman 1990, Cognitive Science 14).

    h_t = tanh(x_t W + h_{t-1} U + b) ,   y_t = h_t W_O           h [E], E = d_state

U starts orthogonal, so that it neither grows nor shrinks what is kept. The state is no linear function of the one
before, so that no scan over chunks applies: all but the product with W goes through the tokens one by one, in
training too. The state and its recurrence are in float32.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers import Dense
from sandbox.models.mixer import Card, Mixer, MixerConfig
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class RNNConfig(MixerConfig):
    """Hidden units that all drive one another; see the module's docstring."""

    card: ClassVar[Card] = Card(
        equation="h_t = tanh(x_t W + h_{t-1} U + b); y_t = h_t W_O",
        decay="learned, a matrix",
        update="add, then tanh",
        paper="Elman 1990, Cognitive Science 14(2)",
    )

    d_state: int | None = None
    """Hidden units. None: as many as `d_model`."""

    def __post_init__(self) -> None:
        if self.d_state is not None:
            check_at_least("mixer.d_state", self.d_state, 1)

    def make(self, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Mixer:
        """A mixer of width `d_model`."""
        return RNN(d_model if self.d_state is None else self.d_state, d_model, rngs=rngs)


class RNN(Mixer):
    """See the module's docstring. Decode state: the hidden units, `[B, E]` in float32."""

    def __init__(self, units: int, d_model: int, *, rngs: nnx.Rngs):
        self.units = units
        self.inputs = Dense(d_model, units, use_bias=True, rngs=rngs)
        self.recurrent = nnx.Param(nnx.initializers.orthogonal()(rngs.params(), (units, units), jnp.float32))
        self.out = Dense(units, d_model, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> Float[Array, "B E"]:
        return jnp.zeros((batch_size, self.units), jnp.float32)

    def prefill(self, x: Activations, state: Float[Array, "B E"]) -> tuple[Activations, Float[Array, "B E"]]:
        recurrent = self.recurrent[...]

        def cell(
            h: Float[Array, "B E"], driven: Float[Array, "B E"]
        ) -> tuple[Float[Array, "B E"], Float[Array, "B E"]]:
            h = jnp.tanh(driven + h @ recurrent)
            return h, h

        h, state = token_by_token(cell, self.inputs(x), state)
        return self.out(h.astype(x.dtype)), state


def token_by_token(
    cell: Callable[[Any, Array], tuple[Any, Array]], inputs: Float[Array, "B T I"], state: Any
) -> tuple[Float[Array, "B T E"], Any]:
    """The outputs of `cell(state, inputs_t) -> (state, outputs_t)` at all tokens, in float32; the last state."""
    # A step is a small product: much of its time is the loop itself, which unrolling shares out.
    state, outputs = jax.lax.scan(cell, state, jnp.swapaxes(inputs.astype(jnp.float32), 0, 1), unroll=8)
    return jnp.swapaxes(outputs, 0, 1), state
