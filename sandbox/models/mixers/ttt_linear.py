"""TTT-Linear (Sun et al. 2024, arXiv:2407.04620, section 2): a linear model as memory, trained while it reads.

    ℓ(W, b) = ½ ‖LN(k_j W + b) - (v_j - k_j)‖² ,   G_j = ∂ℓ/∂(k_j W + b)     at W, b of the start of the mini-batch
    W_i = W - Σ_{j≤i} η_ij k_j G_jᵀ ,   b_i = b - Σ_{j≤i} η_ij G_j            tokens j of i's mini-batch
    o_i = q_i + LN(q_i W_i + b_i)
    η_ij = max(0, 1/i + s_i) σ(x_j w + c) / K                                 i counts from 1 in the mini-batch
    y_i = (LayerNorm(o_i) ⊙ gelu(x_i W_G)) W_O

At the end of a mini-batch of 16 tokens its last W_i and b_i become W and b. Per head W is [K, K], and LN has a
scale and a shift of its own. q and k come from one projection, by a short convolution each, and turn with their
place in the mini-batch.

W starts N(0, 0.02²), b, s and c zero, as in the authors' code (ttt-lm-jax). The state holds what W and b have
learned, and the sums of the mini-batch so far. Training takes a mini-batch at a time, from the empty state;
`prefill` and `step` take a token at a time.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import LayerNorm
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.layers.rotary import rotate
from sandbox.models.mixer import Card, Mixer, MixerConfig
from sandbox.option_checks import check_at_least, check_even
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class TTTLinearConfig(MixerConfig):
    """A linear model per head, which takes a gradient step for each mini-batch."""

    card: ClassVar[Card] = Card(
        equation="W_i = W - Σ_{j≤i} η_ij k_j G_jᵀ, G the gradient of ½‖LN(k W) - v + k‖²; o_i = q_i + LN(q_i W_i)",
        decay="none",
        update="gradient step, by mini-batch",
        paper="Sun et al. 2024, arXiv:2407.04620",
        d_state="rows and columns K of each head's matrices",
    )

    d_state: int = 16
    """The size knob: channels K of a head, whose queries, keys and values are as wide; even."""
    num_heads: int = 2
    mini_batch: int = 16
    """Tokens whose gradients are taken at the same weights."""
    conv_width: int = 4
    """Width in tokens of the short convolutions over queries and keys."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_even("mixer.d_state", self.d_state)
        check_at_least("mixer.num_heads", self.num_heads, 1)
        check_at_least("mixer.mini_batch", self.mini_batch, 1)
        check_at_least("mixer.conv_width", self.conv_width, 1)


class Weights(NamedTuple):
    """A matrix and a bias per head, or changes of both."""

    kernel: Annotated[Float[Array, "B H K V"], StateKind.memory]
    bias: Annotated[Float[Array, "B H V"], StateKind.memory]


class TTTState(NamedTuple):
    """What the weights have learned, the steps of the mini-batch so far, the last inputs, and the place in it."""

    learned: Weights
    pending: Weights
    q_conv: Annotated[Float[Array, "B S E"], StateKind.convolution]
    k_conv: Annotated[Float[Array, "B S E"], StateKind.convolution]
    place: Annotated[Int[Array, ""], StateKind.counter]


class Tokens(NamedTuple):
    """The inputs of the memory, of one token or of several, in float32."""

    q: Float[Array, "B *T H K"]
    k: Float[Array, "B *T H K"]
    v: Float[Array, "B *T H K"]
    rate: Float[Array, "B *T H"]
    """σ(x_j w + c) / K."""


class TTTLinear(Mixer):
    """TTT-Linear; its decode state is a `TTTState`."""

    config: TTTLinearConfig

    def __init__(self, config: TTTLinearConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        heads, rows = config.num_heads, config.d_state
        self.qk, self.v, self.gate = (Dense(d_model, heads * rows, rngs=rngs) for _ in range(3))
        self.q_conv, self.k_conv = (CausalConv(heads * rows, config.conv_width, rngs=rngs) for _ in range(2))
        self.rate = Dense(d_model, heads, use_bias=True, rngs=rngs)
        self.step_scale = NoWeightDecay(jnp.zeros((config.mini_batch,), jnp.float32))
        normal = nnx.initializers.normal(0.02)
        self.kernel = nnx.Param(normal(rngs.params(), (heads, rows, rows), jnp.float32))
        self.bias = NoWeightDecay(jnp.zeros((heads, rows), jnp.float32))
        self.inner_norm = LayerNorm((heads, rows), epsilon=1e-6)
        self.norm = LayerNorm(heads * rows, epsilon=1e-6)
        self.out = Dense(heads * rows, d_model, rngs=rngs)
        self.dtype = dtype

    def __call__(self, x: Activations) -> Activations:
        state = self.init_state(x.shape[0], x.shape[1])
        tokens, _ = self._tokens(x, state)
        length = x.shape[1]
        size = min(self.config.mini_batch, length)
        count = -(-length // size)

        def by_batch(leaf: Array) -> Array:
            padded = jnp.pad(leaf, [(0, 0), (0, count * size - length), *[(0, 0)] * (leaf.ndim - 2)])
            return jnp.moveaxis(padded.reshape(len(leaf), count, size, *leaf.shape[2:]), 1, 0)

        _, read = jax.lax.scan(self._batch, state.learned, jax.tree.map(by_batch, tokens))
        read = jnp.moveaxis(read, 0, 1).reshape(x.shape[0], count * size, *read.shape[3:])
        return self._finished(x, read[:, :length])

    def init_state(self, batch_size: int, max_len: int) -> TTTState:
        shape = (batch_size, *self.bias.shape)
        zeros = Weights(jnp.zeros((*shape, shape[-1]), jnp.float32), jnp.zeros(shape, jnp.float32))
        q_conv, k_conv = (conv.init_state(batch_size, self.dtype) for conv in (self.q_conv, self.k_conv))
        return TTTState(zeros, zeros, q_conv, k_conv, jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: TTTState) -> tuple[Activations, TTTState]:
        tokens, state = self._tokens(x, state)
        by_time = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), tokens)
        carried = (state.learned, state.pending, state.place)
        (learned, pending, place), read = jax.lax.scan(self._token, carried, by_time)
        after = state._replace(learned=learned, pending=pending, place=place)
        return self._finished(x, jnp.moveaxis(read, 0, 1)), after

    def _tokens(self, x: Activations, state: TTTState) -> tuple[Tokens, TTTState]:
        """What the memory gets of each token, and the state with the windows after them."""
        qk, by_head = self.qk(x), (*x.shape[:2], *self.bias.shape)
        q, q_window = self.q_conv.prefill(qk, state.q_conv)
        k, k_window = self.k_conv.prefill(qk, state.k_conv)
        places = (state.place + jnp.arange(x.shape[1])) % self.config.mini_batch
        q, k = (rotate(part.astype(jnp.float32).reshape(by_head), places) for part in (q, k))
        v = self.v(x).astype(jnp.float32).reshape(by_head)
        rate = jax.nn.sigmoid(self.rate(x).astype(jnp.float32)) / self.config.d_state
        return Tokens(q, k, v, rate), state._replace(q_conv=q_window, k_conv=k_window)

    def _steps(self) -> Float[Array, "S"]:
        """max(0, 1/i + s_i) of each place in a mini-batch."""
        places = jnp.arange(1, self.config.mini_batch + 1, dtype=jnp.float32)
        return jnp.maximum(1 / places + self.step_scale[...], 0)

    def _weights(self, learned: Weights) -> Weights:
        """W and b at the start of a mini-batch."""
        return Weights(self.kernel[...] + learned.kernel, self.bias[...] + learned.bias)

    def _gradients(self, weights: Weights, x: Tokens) -> Float[Array, "B *T H K"]:
        """G of each token, times its rate."""
        predicted = jnp.einsum("b...hk,bhkv->b...hv", x.k, weights.kernel)
        bias = weights.bias if x.k.ndim == 3 else weights.bias[:, None]

        def loss(predicted: Float[Array, "B *T H K"]) -> Float[Array, ""]:
            return 0.5 * jnp.sum(jnp.square(self.inner_norm(predicted) - (x.v - x.k)))

        return x.rate[..., None] * jax.grad(loss)(predicted + bias)

    def _batch(self, learned: Weights, x: Tokens) -> tuple[Weights, Float[Array, "B T H K"]]:
        """A whole mini-batch, whose sums over earlier tokens are matrix products."""
        weights, steps = self._weights(learned), self._steps()[: x.q.shape[1]]
        gradients = self._gradients(weights, x)
        scores = jnp.einsum("bihk,bjhk->bhij", x.q, x.k) + 1  # the bias has a key of one
        scores = jnp.where(jnp.tri(len(steps), dtype=bool), scores, 0) * steps[:, None]
        z = jnp.einsum("bihk,bhkv->bihv", x.q, weights.kernel) + weights.bias[:, None]
        z = z - jnp.einsum("bhij,bjhv->bihv", scores, gradients)
        kernel = learned.kernel - steps[-1] * jnp.einsum("bjhk,bjhv->bhkv", x.k, gradients)
        return Weights(kernel, learned.bias - steps[-1] * gradients.sum(axis=1)), x.q + self.inner_norm(z)

    def _token(
        self, carried: tuple[Weights, Weights, Int[Array, ""]], x: Tokens
    ) -> tuple[tuple[Weights, Weights, Int[Array, ""]], Float[Array, "B H K"]]:
        """One token: its gradient joins those of its mini-batch, at whose end they become what is learned."""
        learned, pending, place = carried
        weights, step = self._weights(learned), self._steps()[place]
        gradients = self._gradients(weights, x)
        pending = Weights(pending.kernel + x.k[..., :, None] * gradients[..., None, :], pending.bias + gradients)
        now = jax.tree.map(lambda weight, change: weight - step * change, weights, pending)
        read = x.q + self.inner_norm(jnp.einsum("bhk,bhkv->bhv", x.q, now.kernel) + now.bias)
        ends = place == self.config.mini_batch - 1
        learned = jax.tree.map(lambda old, change: jnp.where(ends, old - step * change, old), learned, pending)
        pending = jax.tree.map(lambda change: jnp.where(ends, 0, change), pending)
        return (learned, pending, jnp.where(ends, 0, place + 1)), read

    def _finished(self, x: Activations, read: Float[Array, "B T H K"]) -> Activations:
        """The output of the layer."""
        normal = self.norm(read.reshape(*x.shape[:2], -1)).astype(x.dtype)
        return self.out(normal * jax.nn.gelu(self.gate(x)))


TTTLinearConfig.mixer = TTTLinear
