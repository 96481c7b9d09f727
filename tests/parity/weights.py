"""Weights between PyTorch and JAX, and how far two results are apart."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scan_peers import torch


def to_torch(array) -> torch.Tensor:
    return torch.tensor(np.asarray(array))


def to_jax(tensor) -> jax.Array:
    return jnp.asarray(tensor.detach().numpy())


def set_param(variable: nnx.Variable, tensor: torch.Tensor) -> None:
    """Copies a tensor of the same shape into a parameter."""
    assert variable.shape == tuple(tensor.shape), (variable.shape, tuple(tensor.shape))
    variable[...] = to_jax(tensor)


def randomize(module, size: float = 0.3):
    """Moves every parameter of a PyTorch or NNX module: what starts at zero or one hides mistakes."""
    rng = np.random.default_rng(0)
    if isinstance(module, torch.nn.Module):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += torch.tensor(size * rng.normal(size=parameter.shape), dtype=parameter.dtype)
    else:
        moved = jax.tree.map(
            lambda leaf: leaf + size * rng.normal(size=leaf.shape).astype(leaf.dtype), nnx.state(module, nnx.Param)
        )
        nnx.update(module, moved)
    return module


def relative_error(expected, found) -> float:
    """Root mean square of the difference of a tensor and an array, relative to what is expected."""
    expected, found = (np.asarray(to_jax(x) if isinstance(x, torch.Tensor) else x) for x in (expected, found))
    assert expected.shape == found.shape, (expected.shape, found.shape)
    return float(np.linalg.norm(expected - found) / np.linalg.norm(expected))
