"""Parameter types and initial values."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from sandbox.shapes import PRNGKey


class NoWeightDecay(nnx.Param):
    """A parameter without weight decay: all but the matrices and convolutions that activations are multiplied by.

    Norms, biases, skips, bonuses, shares of a token shift, decay rates and step sizes, positions, and the network
    that makes Hyena's filter.
    """


LECUN_NORMAL = nnx.initializers.lecun_normal()
FAN_IN_UNIFORM = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Uniform within ±fan-in^-1/2."""


def uniform_within(bound: float) -> nnx.Initializer:
    """Uniform between -bound and bound."""
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def log_step_size(key: PRNGKey, size: int) -> Float[Array, "E"]:
    """Logarithms of step sizes log-uniform in 0.001..0.1, as S4D and Mamba start."""
    return jax.random.uniform(key, (size,), jnp.float32, math.log(0.001), math.log(0.1))


def step_size_bias(key: PRNGKey, size: int) -> Float[Array, "E"]:
    """Biases b whose step sizes softplus(b) are those of `log_step_size`."""
    dt = jnp.exp(log_step_size(key, size))
    return dt + jnp.log(-jnp.expm1(-dt))


def retention_decays(num_heads: int) -> np.ndarray:
    """RetNet's decay of each head: γ_h = 1 - 2^(-5-h), h = 0, 1, ... (Sun et al. 2023, eq. 8)."""
    return 1.0 - 2.0 ** (-5.0 - np.arange(num_heads))
