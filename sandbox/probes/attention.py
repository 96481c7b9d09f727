"""The implicit attention matrix: how much of each earlier value a mixer reads at each token.

What softmax attention reads is a weighted sum of values, and so is what every memory reads whose update is linear
in its values: o_t = Σ_{i≤t} A_ti v_i. For softmax attention A has rows of nonnegative weights that sum to one; for
other mixers A follows from keys, queries and decays, is stored nowhere, and may have any sign. It is obtained here
from the model itself, as the derivative of what is read by each value (`sandbox.taps`), without a formula for any
mixer.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from sandbox.errors import InputError
from sandbox.models.lm import LanguageModel
from sandbox.models.mixer import Mixer
from sandbox.shapes import Activations, Tokens
from sandbox.taps import taps

Matrix = Num[Array, "B T S *heads"]
"""A_ti of each sequence, at [t, i], for each head and channel of a value that the mixer has; complex for LRU."""


def implicit_attention(mixer: Mixer, x: Activations) -> tuple[Matrix, Num[Array, "B T *heads"]]:
    """The implicit attention matrix of a mixer over a sequence from an empty state, and what it read.

    Every channel of a value has a matrix of its own, which is the same for all channels of a head unless the mixer
    has decays per channel of a value, as Mamba has. Where heads share values, each has its matrix.
    Of several values of one token it is the sum of their weights.

    Raises InputError for a mixer whose memory is not linear in its values, such as an LSTM.
    """
    with taps() as tapped:
        mixer(x)
    if len(tapped.read) != 1:
        raise InputError(f"{type(mixer).__name__} has no memory that is linear in its values")
    zeros = [jnp.zeros_like(values) for values in tapped.values]

    def read(added: list[Array]) -> Array:
        with taps(added) as tapped:
            mixer(x)
        return tapped.read[0]

    def column(token: Int[Array, ""]) -> Array:
        at_token = [added.at[:, token].set(1) for added in zeros]
        return jax.jvp(read, (zeros,), (at_token,))[1]

    columns = jax.lax.map(column, jnp.arange(x.shape[1]))
    return jnp.moveaxis(columns, 0, 2), tapped.read[0]


def implicit_attention_of_layers(model: LanguageModel, tokens: Tokens) -> dict[int, Matrix]:
    """The implicit attention of each layer that has one, by its number from 0."""
    matrices = {}
    for number, (mixer, x) in enumerate(mixer_inputs(model, tokens)):
        try:
            matrices[number] = implicit_attention(mixer, x)[0]
        except InputError:
            continue
    return matrices


def mixer_inputs(model: LanguageModel, tokens: Tokens) -> list[tuple[Mixer, Activations]]:
    """The mixer of each layer, with what it reads in these sequences."""
    x, inputs = model.embed(tokens), []
    for block in model.layers:
        inputs.append((block.mixer, block.norm(x)))
        x = block(x)
    return inputs


class AttentionSummary(NamedTuple):
    """How sharp an implicit attention matrix is, and whether it looks at the right token; means over queries."""

    on_answer: float
    """Share of the weight that lies on the token which holds the answer; 1/t if the weight is spread evenly."""
    entropy: float
    """Entropy of the weights, as a share of that of t equal weights: 0 is sharp, 1 is even."""
    negative: float
    """Share of the weight that is negative; softmax attention has none."""


def summarize_attention(
    matrix: Matrix, positions: Int[Array, "B M"], sources: Int[Array, "B M"], weights: Float[Array, "B M"]
) -> AttentionSummary:
    """Summarises the rows of a matrix at scored positions whose answer stands at `sources`, an earlier token.

    Weights are |A_ti| / Σ_i |A_ti|, averaged over heads and channels. Questions with weight 0 are left out.
    """
    flat = jnp.reshape(matrix, (*matrix.shape[:3], -1))
    rows = jnp.take_along_axis(flat, positions[:, :, None, None], axis=1)
    total = jnp.sum(jnp.abs(rows), axis=2, keepdims=True)
    share = jnp.abs(rows) / jnp.where(total > 0, total, 1)
    on_answer = jnp.take_along_axis(share, sources[:, :, None, None], axis=2)[:, :, 0].mean(axis=-1)
    entropy = -jnp.sum(jax.scipy.special.xlogy(share, share), axis=2).mean(axis=-1)
    negative = jnp.sum(jnp.where(jnp.real(rows) < 0, share, 0), axis=2).mean(axis=-1)
    even = jnp.log(jnp.maximum(positions, 1) + 1.0)
    parts = (on_answer, entropy / even, negative)
    return AttentionSummary(*(float(np.average(part, weights=weights)) for part in parts))
