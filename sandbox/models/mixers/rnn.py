"""The simple recurrent network (Elman 1990, Cognitive Science 14).

    h_t = tanh(x_t W + h_{t-1} U + b) ,   y_t = h_t W_O           h [E], E = d_state

U starts orthogonal, and so preserves the norm of the state. The recurrence is nonlinear and cannot be computed in
chunks: apart from the product with W, training also goes token by token. The state is float32.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.token_by_token import token_by_token
from sandbox.models.mixer import Card, Mixer, UnitsConfig
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class RNNConfig(UnitsConfig):
    """Options of the simple recurrent network, whose hidden units are fully connected."""

    card: ClassVar[Card] = Card(
        equation="h_t = tanh(x_t W + h_{t-1} U + b); y_t = h_t W_O",
        decay="learned, a matrix",
        update="add, then tanh",
        paper="Elman 1990, Cognitive Science 14(2)",
        d_state="hidden units E",
    )


class RNNState(NamedTuple):
    """The hidden units, in float32."""

    hidden: Annotated[Float[Array, "B E"], StateKind.memory]


class RNN(Mixer):
    """The recurrent layer; its decode state is an `RNNState`."""

    def __init__(self, config: RNNConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.units = units = config.units(d_model)
        self.inputs = Dense(d_model, units, use_bias=True, rngs=rngs)
        self.recurrent = nnx.Param(nnx.initializers.orthogonal()(rngs.params(), (units, units), jnp.float32))
        self.out = Dense(units, d_model, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> RNNState:
        return RNNState(jnp.zeros((batch_size, self.units), jnp.float32))

    def prefill(self, x: Activations, state: RNNState) -> tuple[Activations, RNNState]:
        recurrent = self.recurrent[...]

        def cell(
            h: Float[Array, "B E"], driven: Float[Array, "B E"]
        ) -> tuple[Float[Array, "B E"], Float[Array, "B E"]]:
            h = jnp.tanh(driven + h @ recurrent)
            return h, h

        h, hidden = token_by_token(cell, self.inputs(x), state.hidden)
        return self.out(h.astype(x.dtype)), RNNState(hidden)


RNNConfig.mixer = RNN
