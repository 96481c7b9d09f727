"""The scans against the plain PyTorch code of others, on the CPU: outputs, final states and gradients.

A new comparison is a line in `PEERS`. Everything is skipped without the extra `parity`.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scan_peers import CHUNK, PEERS, Peer, torch

from sandbox.scans.rms_error import relative_rms_errors

SIZES = {"B": 2, "T": 3 * CHUNK + 5, "H": 3, "K": 5, "V": 6, "E": 7, "N": 4}
TOLERANCE = 1e-5


def draw(rng: np.random.Generator, name: str, letters: str) -> np.ndarray:
    """Values that suit the argument of this name: negative rates, gates from 0 to 1, keys of length 1, …"""
    normal = rng.normal(size=[SIZES.get(letter, 1) for letter in letters])
    match name:
        case "log_decay" | "log_a" | "A":
            values = -np.exp(normal - 1.0)
        case "beta" | "erase" | "write":
            values = 1.0 / (1.0 + np.exp(-normal))
        case "dt" | "w" | "denominator":
            values = np.exp(normal - 1.0)
        case "k" | "a" | "b" if letters.endswith("K"):
            values = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
        case _:
            values = normal
    return values.astype(np.float32)


def arguments(peer: Peer) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: draw(rng, name, letters) for name, letters in peer.shapes.items()}


def weights_like(leaves: list[Any]) -> list[np.ndarray]:
    """Weights of outputs and final states in the loss whose gradients are compared."""
    rng = np.random.default_rng(1)
    return [rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]


def named(values: list[Any], gradients: Mapping[str, Any]) -> dict[str, np.ndarray]:
    outputs, *states = values
    tensors = {"outputs": outputs} | {f"final state {i}": state for i, state in enumerate(states)}
    return tensors | {f"gradient of {name}": gradient for name, gradient in gradients.items()}


@functools.cache
def by_them(peer: Peer) -> dict[str, np.ndarray]:
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in arguments(peer).items()}
    values = jax.tree.leaves(peer.theirs(**tensors))
    weights = weights_like(values)
    loss = sum((torch.tensor(weight) * value).sum() for weight, value in zip(weights, values, strict=True))
    gradients = torch.autograd.grad(loss, list(tensors.values()))
    values = [value.detach().numpy() for value in values]
    return named(values, {name: grad.numpy() for name, grad in zip(tensors, gradients, strict=True)})


def by_us(peer: Peer, implementation: str) -> dict[str, np.ndarray]:
    # The program runs once, so optimising it does not pay.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(arrays):
        values, pullback = jax.vjp(
            lambda arrays: peer.ours(**arrays, implementation=implementation, chunk_size=CHUNK), arrays
        )
        leaves, tree = jax.tree.flatten(values)
        weights = [jnp.asarray(weight) for weight in weights_like(leaves)]
        (gradients,) = pullback(jax.tree.unflatten(tree, weights))
        return named(leaves, gradients)

    return run(arguments(peer))


@pytest.mark.parametrize("implementation", ["recurrent", "chunked"])
@pytest.mark.parametrize("peer", PEERS, ids=str)
def test_computes_what_the_peer_computes(peer, implementation):
    expected, found = by_them(peer), by_us(peer, implementation)
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in expected.items()}
    # Some gradients have no batch axis, so each tensor counts as one sequence.
    errors = {name: relative_rms_errors(tensor[None], found[name][None])[0] for name, tensor in expected.items()}
    assert all(error <= TOLERANCE for error in errors.values()), errors
