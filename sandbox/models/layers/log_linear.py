"""Log-linear attention (Guo et al. 2025, arXiv:2506.04761): memories of blocks that double in length with age.

    o_t = Σ_ℓ λ_t^ℓ (S_t^ℓ)ᵀ q_t

A linear attention keeps one sum over all earlier tokens. Here level 0 holds the token itself, and level ℓ >= 1
the block of 2^(ℓ-1) tokens that ends where the highest bit in which t and its tokens differ says: token j is at
level 1 + ⌊log₂(t xor j)⌋ of token t. There are ⌈log₂ T⌉ + 1 levels at most for T tokens, each weighted by λ,
which depends on t. Every level takes the transition of each token, as the one memory of the linear attention
does.

In training all pairs of tokens are computed, as in softmax attention: the matrix of the linear attention times
the weight of each pair's level. Decoding keeps the levels. The paper's form in chunks, which needs T log T
operations, is not here.
"""

from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.mixer import Mixer, State
from sandbox.models.segments import places, within_segment
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values

MOST_LEVELS = 15
"""Levels that have a weight: enough for 16,384 tokens."""


class Levels(NamedTuple):
    """The memory of each level, and the number of tokens so far."""

    memory: Annotated[Float[Array, "B H L K V"], StateKind.memory]
    length: Annotated[Int[Array, ""], StateKind.counter]


class Token(NamedTuple):
    """The inputs of one token, or of all tokens with a time axis, in float32."""

    q: Float[Array, "B *T H K"]
    k: Float[Array, "B *T H K"]
    v: Float[Array, "B *T H V"]
    log_decay: Float[Array, "B *T H"]
    weights: Float[Array, "B *T H L"]
    beta: Float[Array, "B *T H"] | None


def num_levels(length: int) -> int:
    """Levels that sequences of `length` tokens need."""
    return 1 + max(length - 1, 0).bit_length()


def merged(levels: Levels) -> Float[Array, "B H L K V"]:
    """The levels as the next token finds them: those that are full become one, and level 0 is empty.

    The binary number of tokens says which: with m its lowest bit, levels 0 to m move to level m + 1.
    """
    number = jnp.arange(levels.memory.shape[2])
    lowest = levels.length & -levels.length
    moving = (number <= jax.lax.population_count(lowest - 1)) & (levels.length > 0)
    target = number == jnp.sum(moving)
    block = jnp.sum(jnp.where(moving[:, None, None], levels.memory, 0), axis=2, keepdims=True)
    kept = jnp.where(moving[:, None, None], 0, levels.memory)
    return kept + jnp.where((target & (levels.length > 0))[:, None, None], block, 0)


def weights_of_pairs(weights: Float[Array, "B T H L"]) -> Float[Array, "B H T T"]:
    """The weight of each pair of tokens: that of its level; anything for pairs that do not see each other."""
    token = places(jnp.arange(weights.shape[1]))
    level = 32 - jax.lax.clz(token[:, :, None] ^ token[:, None, :])  # 1 + the highest bit in which they differ
    return jnp.take_along_axis(jnp.moveaxis(weights, 2, 1), level[:, None], axis=3)


def remember(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    log_decay: Float[Array, "B T H"],
    beta: Float[Array, "B T H"] | None,
    weights: Float[Array, "B T H L"],
    levels: Levels | None,
) -> tuple[Float[Array, "B T H V"], Levels | None]:
    """What is read from the levels, and the levels after the last token.

    Args:
        q, k, v, log_decay: as in `gated_linear_attention`, with one decay per head.
        beta: step sizes, with which the transition is that of `gated_delta_rule`.
        weights: λ.
        levels: the levels before the first token. None: empty ones, none are returned, and all pairs are computed.
    """
    v = tap_values(v)
    tokens = jax.tree.map(lambda x: x.astype(jnp.float32), Token(q, k, v, log_decay, weights, beta))
    if levels is None:
        read = jnp.einsum("bhts,bshv->bthv", _matrix(tokens) * weights_of_pairs(tokens.weights), tokens.v)
        return tap_read(read.astype(v.dtype)), None
    after, read = jax.lax.scan(_step, levels, jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), tokens))
    return tap_read(jnp.moveaxis(read, 0, 1).astype(v.dtype)), after


def _matrix(tokens: Token) -> Float[Array, "B H T T"]:
    """The weight of each earlier value in what a token reads from the linear attention."""
    q, k, _, log_decay, _, beta = tokens
    kept = jnp.moveaxis(jnp.cumsum(log_decay, axis=1), 2, 1)
    visible = within_segment(jnp.tri(q.shape[1], dtype=bool))[:, None]
    decay = jnp.exp(jnp.where(visible, kept[..., :, None] - kept[..., None, :], -jnp.inf))
    read = jnp.einsum("bthk,bshk->bhts", q, k) * decay
    if beta is None:
        return read
    rate = jnp.moveaxis(beta, 2, 1)
    erased = rate[..., None] * jnp.einsum("bthk,bshk->bhts", k, k) * jnp.where(jnp.eye(q.shape[1]), 0, decay)
    identity = jnp.broadcast_to(jnp.eye(q.shape[1]), erased.shape)
    inverse = jax.scipy.linalg.solve_triangular(identity + erased, identity, lower=True, unit_diagonal=True)
    return read @ inverse * rate[..., None, :]


def _step(levels: Levels, token: Token) -> tuple[Levels, Float[Array, "B H V"]]:
    """One token: the levels merge, all of them take its transition, and it becomes level 0."""
    q, k, v, log_decay, weights, beta = token
    memory = jnp.exp(log_decay)[..., None, None, None] * merged(levels)
    if beta is not None:
        recalled = jnp.einsum("bhk,bhlkv->bhlv", k, memory)
        memory = memory - jnp.einsum("bh,bhk,bhlv->bhlkv", beta, k, recalled)
        v = beta[..., None] * v
    memory = memory.at[:, :, 0].add(k[..., None] * v[..., None, :])
    read = jnp.einsum("bhl,bhlkv,bhk->bhv", weights[..., : memory.shape[2]], memory, q)
    return Levels(memory, levels.length + 1), read


class LevelWeights(nnx.Module):
    """λ = softplus(a ⊙ (x W)) of each head and level; a starts at 1."""

    def __init__(self, d_model: int, heads: int, *, rngs: nnx.Rngs):
        self.from_x = Dense(d_model, heads * MOST_LEVELS, rngs=rngs)
        self.scale = NoWeightDecay(jnp.ones((heads, MOST_LEVELS), jnp.float32))

    def __call__(self, x: Activations) -> Float[Array, "B T H L"]:
        """The weights, in float32."""
        raw = self.from_x(x).astype(jnp.float32).reshape(*x.shape[:2], *self.scale.shape)
        return jax.nn.softplus(self.scale[...] * raw)


class LevelsConfig:
    """What the config of a mixer needs whose memory has levels."""

    grows: ClassVar[bool] = True
    takes_segments: ClassVar[bool] = True

    def check_length(self, length: int) -> None:
        """Raises ValueError for sequences that need more levels than there are."""
        if num_levels(length) > MOST_LEVELS:
            raise ValueError(f"log-linear attention takes at most {2 ** (MOST_LEVELS - 1)} tokens, got {length}")


class LevelsOf(Mixer):
    """Gives the memory of another mixer levels; it comes before that mixer among the bases."""

    def __call__(self, x: Activations) -> Activations:
        empty = self.init_state(x.shape[0], x.shape[1])
        return self.prefill(x, empty._replace(memory=None))[0]

    def init_state(self, batch_size: int, max_len: int) -> State:
        """The other mixer's state, in which each matrix becomes `Levels`."""
        state = super().init_state(batch_size, max_len)
        levels = jnp.repeat(state.memory[:, :, None], num_levels(max_len), axis=2)
        return state._replace(memory=Levels(levels, jnp.zeros((), jnp.int32)))
