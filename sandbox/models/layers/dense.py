"""Linear maps over the last axis."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sandbox.models.layers.parameters import LECUN_NORMAL, NoWeightDecay


class Dense(nnx.Module):
    """y = x W (+ b). By default W starts from a truncated normal distribution of variance 1 / fan-in."""

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        use_bias: bool = False,
        kernel_init: nnx.Initializer = LECUN_NORMAL,
        rngs: nnx.Rngs,
    ):
        self.kernel = nnx.Param(kernel_init(rngs.params(), (d_in, d_out), jnp.float32))
        self.bias = NoWeightDecay(jnp.zeros((d_out,), jnp.float32)) if use_bias else None
        self.starts_by_default = kernel_init is LECUN_NORMAL

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows O"]:
        # Flattened because the weight gradient would else contract two axes of [B, T, D], which misses the fast
        # matrix product on CPU and takes three times as long.
        y = x.reshape(-1, x.shape[-1]) @ self.kernel[...].astype(x.dtype)
        if self.bias is not None:
            y = y + self.bias[...].astype(x.dtype)
        return y.reshape(*x.shape[:-1], -1)


class LowRank(nnx.Module):
    """y = f(x A) B (+ b), with `rank` channels in between; f is the identity by default."""

    def __init__(
        self,
        d_in: int,
        rank: int,
        d_out: int,
        *,
        activation: Callable[[jax.Array], jax.Array] | None = None,
        use_bias: bool = False,
        down_init: nnx.Initializer = LECUN_NORMAL,
        up_init: nnx.Initializer = LECUN_NORMAL,
        rngs: nnx.Rngs,
    ):
        self.down = Dense(d_in, rank, kernel_init=down_init, rngs=rngs)
        self.up = Dense(rank, d_out, use_bias=use_bias, kernel_init=up_init, rngs=rngs)
        self.activation = activation

    def __call__(self, x: Float[Array, "*rows I"]) -> Float[Array, "*rows O"]:
        x = self.down(x)
        return self.up(x if self.activation is None else self.activation(x))
