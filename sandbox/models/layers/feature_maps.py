"""Feature maps φ of queries and keys: linear attention weighs a pair by φ(q)·φ(k).

| map | φ(x) for x of K channels | features |
| --- | --- | --- |
| identity, relu, silu | x, max(x, 0), x σ(x) | K |
| square, softplus | x², log(1 + exp(x)) | K |
| elu1 | elu(x) + 1 | K |
| dpfp | r_i r_{i-j} for j = 1..ν, with r = relu([x, -x]) and indices modulo 2K | 2νK |
| hedgehog | softmax([y, -y]), y = x W + b with W and b learned per head | 2K |
| taylor | [1, x_i / K^¼, x_i² / √(2K), x_i x_j / √K for i < j] | 1 + K + K(K+1)/2 |
| cosformer | [cos(πt/2M) relu(x), sin(πt/2M) relu(x)] at position t | 2K |
| favor | exp(w_j·x / K^¼ - |x|² / 2√K) for F random directions w_j | F |

Sources: elu1 Katharopoulos et al. 2020 (arXiv:2006.16236, eq. 7); dpfp Schlag et al. 2021 (arXiv:2102.11174,
section 5.3); hedgehog Zhang et al. 2024 (arXiv:2402.04347); taylor Arora et al. 2024 (Based, arXiv:2402.18668);
cosformer Qin et al. 2022 (arXiv:2202.08791); favor Choromanski et al. 2021 (Performer, arXiv:2009.14794).

With s = q·k/√K, taylor's weight is 1 + s + s²/2, a series of exp(s), and favor's is F exp(s) in expectation.
cosformer's weight between positions t and u is relu(q)·relu(k) cos(π(t-u)/2M).
"""

import enum
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from sandbox.models.layers.parameters import NoWeightDecay


class FeatureMap(enum.Enum):
    """Choices of `mixer.feature_map`; `favor` is missing because only `mixer=performer` uses it."""

    identity = "identity"
    relu = "relu"
    silu = "silu"
    elu1 = "elu1"
    square = "square"
    softplus = "softplus"
    dpfp = "dpfp"
    hedgehog = "hedgehog"
    taylor = "taylor"
    cosformer = "cosformer"


ELEMENTWISE: dict[FeatureMap, Callable[[jax.Array], jax.Array]] = {
    FeatureMap.identity: lambda x: x,
    FeatureMap.relu: lambda x: jax.nn.relu(x),
    FeatureMap.silu: lambda x: jax.nn.silu(x),
    FeatureMap.elu1: lambda x: jax.nn.elu(x) + 1,
    FeatureMap.square: lambda x: jnp.square(x),
    FeatureMap.softplus: lambda x: jax.nn.softplus(x),
}
"""The maps that act on each channel separately. Lambdas, so that configs can list the keys without jax."""

SIGNED = frozenset({FeatureMap.identity, FeatureMap.silu})
"""The maps whose weights φ(q)·φ(k) may be negative."""

FAVOR_EPSILON = 1e-6
"""Added to each feature of `favor` to keep weights above zero, as in the authors' code."""


def dpfp(x: Float[Array, "*rows I"], nu: int) -> Float[Array, "*rows O"]:
    """Products of each channel of relu([x, -x]) with the ν channels before it."""
    rectified = jax.nn.relu(jnp.concatenate([x, -x], axis=-1))
    return jnp.concatenate([rectified * jnp.roll(rectified, j, axis=-1) for j in range(1, nu + 1)], axis=-1)


def taylor(x: Float[Array, "*rows I"]) -> Float[Array, "*rows O"]:
    """The second-order Taylor series of exp, with each product of two channels kept once."""
    channels = x.shape[-1]
    x = x * channels**-0.25
    one_by_one = jnp.split(x, channels, axis=-1)
    squares = 0.5**0.5 * x * x
    products = [channel * x[..., i + 1 :] for i, channel in enumerate(one_by_one)]
    return jnp.concatenate([jnp.ones_like(x[..., :1]), x, squares, *products], axis=-1)


def cosformer(
    x: Float[Array, "B T H K"], positions: Int[Array, "T"], max_positions: int
) -> Float[Array, "B T H O"]:
    """Rectified channels, scaled so that the weight of a pair of tokens falls with their distance.

    Weights are nonnegative if positions stay below `max_positions`, the M of the table.
    """
    angles = (np.pi / 2 / max_positions) * positions.astype(jnp.float32)[None, :, None, None]
    x = jax.nn.relu(x)
    return jnp.concatenate([x * turn(angles).astype(x.dtype) for turn in (jnp.cos, jnp.sin)], axis=-1)


class Hedgehog(nnx.Module):
    """A learned map, which starts at W = I, b = 0. Queries and keys have separate ones.

    As in the authors' stable variant, the paper's features exp([y, -y]) are divided by their sum.
    """

    def __init__(self, num_heads: int, channels: int):
        self.kernel = nnx.Param(jnp.broadcast_to(jnp.eye(channels)[None], (num_heads, channels, channels)))
        self.bias = NoWeightDecay(jnp.zeros((num_heads, channels), jnp.float32))

    def __call__(self, x: Float[Array, "B T H K"]) -> Float[Array, "B T H O"]:
        y = jnp.einsum("bthk,hkj->bthj", x.astype(jnp.float32), self.kernel[...])
        y = y + self.bias[...]
        return jax.nn.softmax(jnp.concatenate([y, -y], axis=-1), axis=-1).astype(x.dtype)


def favor_keys(x: Float[Array, "B T H K"], directions: Float[Array, "H F K"]) -> Float[Array, "B T H F"]:
    """Positive random features of keys.

    An exponent is at most |w_j|²/2, whose exponential fits into float32 up to about 150 channels. So the largest
    one need not be subtracted, unlike in the authors' code, where it depends on later tokens.
    """
    return (jnp.exp(_favor_exponents(x, directions)) + FAVOR_EPSILON).astype(x.dtype)


def favor_queries(x: Float[Array, "B T H K"], directions: Float[Array, "H F K"]) -> Float[Array, "B T H F"]:
    """Positive random features of queries, over the largest of each token, which normalisation cancels."""
    exponents = _favor_exponents(x, directions)
    largest = jax.lax.stop_gradient(jnp.max(exponents, axis=-1, keepdims=True))
    return (jnp.exp(exponents - largest) + FAVOR_EPSILON).astype(x.dtype)


def _favor_exponents(x: Float[Array, "B T H K"], directions: Float[Array, "H F K"]) -> Float[Array, "B T H F"]:
    x = x.astype(jnp.float32) * x.shape[-1] ** -0.25
    half_squares = 0.5 * jnp.sum(x * x, axis=-1, keepdims=True)
    return jnp.einsum("bthk,hfk->bthf", x, directions) - half_squares


@functools.lru_cache
def favor_directions(seed: int, num_heads: int, features: int, channels: int) -> np.ndarray:
    """Random directions w_j, `[H, F, K]`, each standard normal, and orthogonal within blocks of K per head.

    Rotations are uniform because the signs of R are divided out of each QR decomposition (Mezzadri 2007,
    arXiv:math-ph/0609050). Otherwise the features are biased and do not converge to softmax.
    """
    random = np.random.default_rng(seed)
    blocks = -(-features // channels)
    rotations, triangles = np.linalg.qr(random.normal(size=(num_heads, blocks, channels, channels)))
    rotations *= np.sign(np.diagonal(triangles, axis1=-2, axis2=-1))[:, :, None]
    rows = rotations.swapaxes(-1, -2).reshape(num_heads, blocks * channels, channels)[:, :features]
    lengths = np.linalg.norm(random.normal(size=rows.shape), axis=-1, keepdims=True)
    return (lengths * rows).astype(np.float32)
