"""Long short-term memory (Hochreiter & Schmidhuber 1997), with the forget gate of Gers et al. 2000.

    (i, f, g, o)_t = x_t W + h_{t-1} U + b
    c_t = σ(f_t) ⊙ c_{t-1} + σ(i_t) ⊙ tanh(g_t) ,   h_t = σ(o_t) ⊙ tanh(c_t)        h, c [E], E = d_state
    y_t = h_t W_O

The four blocks of U start orthogonal, b at 1 for the forget gate, so that cells remember from the start
(Jozefowicz et al. 2015, ICML), and at 0 elsewhere. As in `rnn`, training too runs token by token, in float32.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.layers.token_by_token import token_by_token
from sandbox.models.mixer import Card, Mixer, UnitsConfig
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class LSTMConfig(UnitsConfig):
    """Cells that are written, erased and read through gates."""

    card: ClassVar[Card] = Card(
        equation="c_t = σ(f_t) ⊙ c_{t-1} + σ(i_t) ⊙ tanh(g_t); h_t = σ(o_t) ⊙ tanh(c_t), gates of x_t and h_{t-1}",
        decay="dependent on data and state, per unit",
        update="add, gated",
        paper="Hochreiter & Schmidhuber 1997, Neural Computation 9(8)",
        d_state="hidden units E",
    )


class LSTMState(NamedTuple):
    """The hidden units and their cells, in float32."""

    hidden: Annotated[Float[Array, "B E"], StateKind.memory]
    cell: Annotated[Float[Array, "B E"], StateKind.memory]


class LSTM(Mixer):
    """Long short-term memory. Decode state: an `LSTMState`."""

    def __init__(self, config: LSTMConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.units = units = config.units(d_model)
        self.inputs = Dense(d_model, 4 * units, rngs=rngs)
        orthogonal = nnx.initializers.orthogonal()
        blocks = [orthogonal(rngs.params(), (units, units), jnp.float32) for _ in range(4)]
        self.recurrent = nnx.Param(jnp.concatenate(blocks, axis=1))
        self.bias = NoWeightDecay(jnp.zeros((4 * units,), jnp.float32).at[units : 2 * units].set(1.0))
        self.out = Dense(units, d_model, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> LSTMState:
        zeros = jnp.zeros((batch_size, self.units), jnp.float32)
        return LSTMState(zeros, zeros)

    def prefill(self, x: Activations, state: LSTMState) -> tuple[Activations, LSTMState]:
        recurrent, bias = self.recurrent[...], self.bias[...][None]

        def step(state: LSTMState, driven: Float[Array, "B I"]) -> tuple[LSTMState, Float[Array, "B E"]]:
            i, f, g, o = jnp.split(driven + state.hidden @ recurrent + bias, 4, axis=-1)
            cell = jax.nn.sigmoid(f) * state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return LSTMState(hidden, cell), hidden

        hidden, state = token_by_token(step, self.inputs(x), state)
        return self.out(hidden.astype(x.dtype)), state


LSTMConfig.mixer = LSTM
