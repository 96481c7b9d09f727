"""Test-time training (Sun et al. 2024, arXiv:2407.04620, section 2): a network as memory, trained as it reads.

    f(x) = the last z^l of  z^l = x^l W^l + b^l ,  x^1 = x ,  x^{l+1} = gelu(z^l)             layers l, per head
    ℓ_j = ½ ‖LN(f(k_j)) - (v_j - k_j)‖² ,   G_j^l = ∂ℓ_j/∂z_j^l          at W, b of the start of the mini-batch
    W_i^l = W^l - Σ_{j≤i} η_ij x_j^l G_j^lᵀ ,   b_i^l = b^l - Σ_{j≤i} η_ij G_j^l        tokens j of i's mini-batch
    o_i = q_i + LN(f(q_i)) at W_i, b_i
    η_ij = η max(0, 1/i + s_i) σ(x_j w + c) / K                              i counts from 1 in the mini-batch
    y_i = (LayerNorm(o_i) ⊙ gelu(x_i W_G)) W_O

At the end of a mini-batch of 16 tokens its last W_i and b_i become W and b. Each head has a network of its own,
and LN a scale and a shift. q and k come from one projection, by a short convolution each, and turn with their
place in the mini-batch.

W starts N(0, 0.02²), b, s and c zero, as in the authors' code (ttt-lm-jax). The state holds what W and b have
learned, and the sums of the mini-batch so far. Training takes a mini-batch at a time, from the empty state, where
the sums over earlier tokens are matrix products; `prefill` and `step` take a token at a time.
"""

import dataclasses
import itertools
from collections.abc import Callable
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
from sandbox.models.mixer import Mixer, MixerConfig
from sandbox.option_checks import check_at_least, check_even
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class TTTConfig(MixerConfig):
    """A network per head, which takes a gradient step for each mini-batch."""

    base_rate: ClassVar[float]
    """η of the equation."""

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

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the network's input, between its layers, and of its output."""
        raise NotImplementedError


class Weights(NamedTuple):
    """A matrix and a bias per head of one layer of the network, or changes of both."""

    kernel: Annotated[Float[Array, "B H I O"], StateKind.memory]
    bias: Annotated[Float[Array, "B H O"], StateKind.memory]


Network = tuple[Weights, ...]


class TTTState(NamedTuple):
    """What the weights have learned, the steps of the mini-batch so far, the last inputs, and the place in it."""

    learned: Network
    pending: Network
    q_conv: Annotated[Float[Array, "B S E"], StateKind.convolution]
    k_conv: Annotated[Float[Array, "B S E"], StateKind.convolution]
    place: Annotated[Int[Array, ""], StateKind.counter]


class Tokens(NamedTuple):
    """The inputs of the memory, of one token or of several, in float32."""

    q: Float[Array, "B *T H K"]
    k: Float[Array, "B *T H K"]
    v: Float[Array, "B *T H K"]
    rate: Float[Array, "B *T H"]
    """η σ(x_j w + c) / K, with η the `base_rate`."""


class InnerLayer(nnx.Module):
    """W and b of one layer of each head's network, as they are before the first token."""

    def __init__(self, num_heads: int, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        normal = nnx.initializers.normal(0.02)
        self.kernel = nnx.Param(normal(rngs.params(), (num_heads, inputs, outputs), jnp.float32))
        self.bias = NoWeightDecay(jnp.zeros((num_heads, outputs), jnp.float32))


class TTT(Mixer):
    """A network that is trained as it reads; its decode state is a `TTTState`."""

    config: TTTConfig

    def __init__(self, config: TTTConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        heads, rows = config.num_heads, config.d_state
        self.qk, self.v, self.gate = (Dense(d_model, heads * rows, rngs=rngs) for _ in range(3))
        self.q_conv, self.k_conv = (CausalConv(heads * rows, config.conv_width, rngs=rngs) for _ in range(2))
        self.rate = Dense(d_model, heads, use_bias=True, rngs=rngs)
        self.step_scale = NoWeightDecay(jnp.zeros((config.mini_batch,), jnp.float32))
        self.network = nnx.List(
            [InnerLayer(heads, *widths, rngs=rngs) for widths in itertools.pairwise(config.widths)]
        )
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
        zeros = tuple(
            Weights(*(jnp.zeros((batch_size, *part.shape), jnp.float32) for part in (layer.kernel, layer.bias)))
            for layer in self.network
        )
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
        qk, by_head = self.qk(x), (*x.shape[:2], self.config.num_heads, self.config.d_state)
        q, q_window = self.q_conv.prefill(qk, state.q_conv)
        k, k_window = self.k_conv.prefill(qk, state.k_conv)
        places = (state.place + jnp.arange(x.shape[1])) % self.config.mini_batch
        q, k = (rotate(part.astype(jnp.float32).reshape(by_head), places) for part in (q, k))
        v = self.v(x).astype(jnp.float32).reshape(by_head)
        rate = jax.nn.sigmoid(self.rate(x).astype(jnp.float32)) * (self.config.base_rate / self.config.d_state)
        return Tokens(q, k, v, rate), state._replace(q_conv=q_window, k_conv=k_window)

    def _steps(self) -> Float[Array, "S"]:
        """max(0, 1/i + s_i) of each place in a mini-batch."""
        places = jnp.arange(1, self.config.mini_batch + 1, dtype=jnp.float32)
        return jnp.maximum(1 / places + self.step_scale[...], 0)

    def _weights(self, learned: Network) -> Network:
        """W and b at the start of a mini-batch."""
        return tuple(
            Weights(layer.kernel[...] + change.kernel, layer.bias[...] + change.bias)
            for layer, change in zip(self.network, learned, strict=True)
        )

    def _gradients(self, weights: Network, x: Tokens) -> tuple[list[Array], list[Array]]:
        """What enters each layer for each token's key, and G times the token's rate."""

        def loss(offsets: list[Array]) -> tuple[Float[Array, ""], list[Array]]:
            recalled, entered = through(weights, x.k, lambda layer, entering: offsets[layer])
            return 0.5 * jnp.sum(jnp.square(self.inner_norm(recalled) - (x.v - x.k))), entered

        offsets = [jnp.zeros((*x.k.shape[:-1], width), jnp.float32) for width in self.config.widths[1:]]
        gradients, entered = jax.grad(loss, has_aux=True)(offsets)
        return entered, [x.rate[..., None] * gradient for gradient in gradients]

    def _batch(self, learned: Network, x: Tokens) -> tuple[Network, Float[Array, "B T H K"]]:
        """A whole mini-batch, whose sums over earlier tokens are matrix products."""
        weights, steps = self._weights(learned), self._steps()[: x.q.shape[1]]
        entered, gradients = self._gradients(weights, x)
        past = jnp.tri(len(steps), dtype=bool)

        def taken(layer: int, entering: Float[Array, "B T H I"]) -> Float[Array, "B T H O"]:
            scores = jnp.einsum("bihk,bjhk->bhij", entering, entered[layer]) + 1  # the bias has an input of one
            scores = jnp.where(past, scores, 0) * steps[:, None]
            return -jnp.einsum("bhij,bjhv->bihv", scores, gradients[layer])

        recalled, _ = through(weights, x.q, taken)
        learned = tuple(
            Weights(
                old.kernel - steps[-1] * jnp.einsum("bjhk,bjhv->bhkv", inputs, gradient),
                old.bias - steps[-1] * gradient.sum(axis=1),
            )
            for old, inputs, gradient in zip(learned, entered, gradients, strict=True)
        )
        return learned, x.q + self.inner_norm(recalled)

    def _token(
        self, carried: tuple[Network, Network, Int[Array, ""]], x: Tokens
    ) -> tuple[tuple[Network, Network, Int[Array, ""]], Float[Array, "B H K"]]:
        """One token: its gradient joins those of its mini-batch, at whose end they become what is learned."""
        learned, pending, place = carried
        weights, step = self._weights(learned), self._steps()[place]
        pending = tuple(
            Weights(old.kernel + inputs[..., :, None] * gradient[..., None, :], old.bias + gradient)
            for old, inputs, gradient in zip(pending, *self._gradients(weights, x), strict=True)
        )
        now = jax.tree.map(lambda weight, change: weight - step * change, weights, pending)
        read = x.q + self.inner_norm(through(now, x.q)[0])
        ends = place == self.config.mini_batch - 1
        learned = jax.tree.map(lambda old, change: jnp.where(ends, old - step * change, old), learned, pending)
        pending = jax.tree.map(lambda change: jnp.where(ends, 0, change), pending)
        return (learned, pending, jnp.where(ends, 0, place + 1)), read

    def _finished(self, x: Activations, read: Float[Array, "B T H K"]) -> Activations:
        """The output of the layer."""
        normal = self.norm(read.reshape(*x.shape[:2], -1)).astype(x.dtype)
        return self.out(normal * jax.nn.gelu(self.gate(x)))


def through(
    network: Network, x: Float[Array, "B *T H I"], added: Callable[[int, Array], Array] | None = None
) -> tuple[Float[Array, "B *T H O"], list[Array]]:
    """f(x), and what enters each layer. `added(l, x^l)` comes on top of z^l."""
    entered = []
    for number, (kernel, bias) in enumerate(network):
        entered.append(x)
        z = jnp.einsum("b...hk,bhkv->b...hv", x, kernel) + (bias if x.ndim == 3 else bias[:, None])
        if added is not None:
            z = z + added(number, x)
        x = jax.nn.gelu(z) if number < len(network) - 1 else z
    return x, entered
