"""sLSTM (Beck et al. 2024, arXiv:2405.04517, section 2.2): an LSTM with exponential gates, a normaliser and heads.

    c̃_t = silu(Σ_{i<W} w_i ⊙ x_{t-i} + b)                          a short convolution, for two of the gates
    î, f̂ = c̃_t W + y_{t-1} R + b ,   ẑ, ô = x_t W + y_{t-1} R + b   W and R block-diagonal, a block per head
    m_t = max(log σ(f̂_t) + m_{t-1}, î_t)                            in whose units no gate exceeds 1
    c_t = exp(log σ(f̂_t) + m_{t-1} - m_t) c_{t-1} + exp(î_t - m_t) tanh(ẑ_t) ,   n_t likewise, with 1 for tanh(ẑ_t)
    y_t = σ(ô_t) ⊙ c_t / n_t                                        and a layer norm per head, as the output

Gates that read y_{t-1} make it a nonlinear recurrence, which tracks states that no linear one with positive
eigenvalues can. As in `rnn`, training too runs token by token, in float32. Initial values are those of the
authors' code (NX-AI/xlstm): W from N(0, 2/(5D)), R zero, biases zero but for the forget gate's, which run from
5 to -7 over the channels of a head: 5 - 12 (c / (C - 1))^0.3.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.norms import LayerNorm
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.layers.token_by_token import token_by_token
from sandbox.models.mixer import Card, Mixer, MixerConfig
from sandbox.option_checks import check_at_least, check_divides
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class SLSTMConfig(MixerConfig):
    """Cells with exponential gates, as many as the model is wide."""

    card: ClassVar[Card] = Card(
        equation="c_t = f_t c_{t-1} + exp(î_t) tanh(ẑ_t), n_t of 1; y_t = σ(ô_t) c_t / n_t, gates of x_t, y_{t-1}",
        decay="dependent on data and state, per unit",
        update="add, gated",
        paper="Beck et al. 2024, arXiv:2405.04517",
    )

    takes_segments: ClassVar[bool] = True

    num_heads: int = 4
    """Heads, between which cells do not mix."""
    conv_width: int = 4
    """Width in tokens of the short convolution, whose output the input and forget gates read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.num_heads", self.num_heads, 1)
        check_at_least("mixer.conv_width", self.conv_width, 1)

    def check_width(self, d_model: int) -> None:
        check_divides("mixer.num_heads", self.num_heads, "model.d_model", d_model)


class SLSTMState(NamedTuple):
    """Output, cell, normaliser and stabiliser of each unit, and the window of the short convolution."""

    hidden: Annotated[Float[Array, "B H C"], StateKind.memory]
    cell: Annotated[Float[Array, "B H C"], StateKind.memory]
    normalizer: Annotated[Float[Array, "B H C"], StateKind.normaliser]
    stabilizer: Annotated[Float[Array, "B H C"], StateKind.normaliser]
    conv: Annotated[Float[Array, "B S D"], StateKind.convolution]


class SLSTM(Mixer):
    """sLSTM; its decode state is an `SLSTMState`."""

    config: SLSTMConfig

    def __init__(self, config: SLSTMConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        heads, channels = config.num_heads, d_model // config.num_heads
        self.conv = CausalConv(d_model, config.conv_width, rngs=rngs)
        spread = nnx.initializers.normal((2 / (5 * d_model)) ** 0.5)
        self.gates = nnx.Param(spread(rngs.params(), (4, heads, channels, channels), jnp.float32))
        self.recurrent = nnx.Param(jnp.zeros((4, heads, channels, channels), jnp.float32))
        place = np.arange(channels) / max(channels - 1, 1)
        bias = np.zeros((4, heads, channels), np.float32)
        bias[1] = 5 - 12 * place**0.3
        self.bias = NoWeightDecay(jnp.asarray(bias))
        self.norm = LayerNorm((heads, channels), use_bias=False)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> SLSTMState:
        zeros = jnp.zeros((batch_size, *self.bias.shape[1:]), jnp.float32)
        return SLSTMState(zeros, zeros, zeros, zeros, self.conv.init_state(batch_size, self.dtype))

    def prefill(self, x: Activations, state: SLSTMState) -> tuple[Activations, SLSTMState]:
        convolved, window = self.conv.prefill(x, state.conv)
        by_head = (*x.shape[:2], *self.bias.shape[1:])
        near, now = jax.nn.silu(convolved).reshape(by_head), x.reshape(by_head)
        kernel = self.gates[...].astype(x.dtype)
        driven = [
            jnp.einsum("bthc,ghcd->btghd", part, kernel[gates])
            for part, gates in ((near, slice(2)), (now, slice(2, None)))
        ]
        recurrent, bias = self.recurrent[...], self.bias[...]

        def step(
            carried: tuple[Array, Array, Array, Array], driven: Float[Array, "B I"]
        ) -> tuple[tuple[Array, Array, Array, Array], Float[Array, "B E"]]:
            hidden, cell, normalizer, stabilizer = carried
            raw = driven.reshape(-1, *bias.shape) + jnp.einsum("bhc,ghcd->bghd", hidden, recurrent) + bias
            entry, forget, value, read = jnp.moveaxis(raw, 1, 0)
            kept = jax.nn.log_sigmoid(forget) + stabilizer
            first = jnp.all(normalizer == 0, axis=(1, 2), keepdims=True)
            units = jnp.where(first, entry, jnp.maximum(kept, entry))
            kept, written = jnp.exp(jnp.minimum(kept - units, 0)), jnp.exp(entry - units)
            cell, normalizer = kept * cell + written * jnp.tanh(value), kept * normalizer + written
            hidden = jax.nn.sigmoid(read) * cell / normalizer
            return (hidden, cell, normalizer, units), hidden.reshape(len(hidden), -1)

        by_token = jnp.concatenate(driven, axis=2).reshape(*x.shape[:2], -1)
        carried = (state.hidden, state.cell, state.normalizer, state.stabilizer)
        hidden, (last, cell, normalizer, stabilizer) = token_by_token(step, by_token, carried)
        y = self.norm(hidden.reshape(by_head)).reshape(x.shape).astype(x.dtype)
        return y, SLSTMState(last, cell, normalizer, stabilizer, window)


SLSTMConfig.mixer = SLSTM
