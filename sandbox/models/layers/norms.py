"""Normalisation over the last axis, in float32."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sandbox.models.layers.parameters import NoWeightDecay


class RMSNorm(nnx.Module):
    """y = x / sqrt(mean(x²) + ε) ⊙ scale (Zhang & Sennrich 2019); with `shape=(H, V)`, one scale per head."""

    def __init__(self, shape: int | tuple[int, ...], *, epsilon: float = 1e-6):
        self.scale = NoWeightDecay(jnp.ones(shape, jnp.float32))
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows I"]:
        x32 = x.astype(jnp.float32)
        y = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.epsilon)
        return (y * self.scale[...]).astype(x.dtype)


class LayerNorm(nnx.Module):
    """y = (x - mean) / sqrt(variance + ε) ⊙ scale (+ bias); with `shape=(H, V)`, a group norm over heads."""

    def __init__(
        self,
        shape: int | tuple[int, ...],
        *,
        use_scale: bool = True,
        use_bias: bool = True,
        epsilon: float = 1e-5,
    ):
        self.scale = NoWeightDecay(jnp.ones(shape, jnp.float32)) if use_scale else None
        self.bias = NoWeightDecay(jnp.zeros(shape, jnp.float32)) if use_bias else None
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows I"]:
        x32 = x.astype(jnp.float32)
        centred = x32 - jnp.mean(x32, axis=-1, keepdims=True)
        y = centred * jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + self.epsilon)
        if self.scale is not None:
            y = y * self.scale[...]
        if self.bias is not None:
            y = y + self.bias[...]
        return y.astype(x.dtype)


def l2_normalize(x: Float[Array, "*rows K"], *, epsilon: float = 1e-6) -> Float[Array, "*rows K"]:
    """x / sqrt(Σ x² + ε)."""
    squared = jnp.sum(jnp.square(x.astype(jnp.float32)), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(squared + epsilon).astype(x.dtype)
