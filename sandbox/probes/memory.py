"""What the memory of a layer holds while a sequence is read: its rank over time, and how alike its keys are."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sandbox.models.lm import LanguageModel, ModelState
from sandbox.models.mixer import Mixer
from sandbox.probes.attention import mixer_inputs
from sandbox.shapes import Activations, Tokens
from sandbox.state_kinds import StateKind, kinds_of
from sandbox.taps import taps


def memories(model: LanguageModel, tokens: Tokens) -> dict[int, Float[np.ndarray, "T B H K V"]]:
    """The matrices that each layer with a matrix memory holds after each token, by its number from 0.

    A matrix memory is one that a scan with keys writes to, a matrix per head.
    """
    with_keys = [_keys(*layer) is not None for layer in mixer_inputs(model, tokens)]

    def matrices(state: ModelState) -> dict[int, Array]:
        found = {}
        for number, layer in enumerate(state):
            for kind, leaf in kinds_of(layer):
                if with_keys[number] and kind is StateKind.memory and leaf.ndim == 4:
                    found[number] = leaf
        return found

    def read(state: ModelState, column: Array) -> tuple[ModelState, dict[int, Array]]:
        _, state = model.step(column, state)
        return state, matrices(state)

    batch, length = tokens.shape
    _, over_time = jax.lax.scan(read, model.init_state(batch, length), tokens.T)
    return {number: np.asarray(values) for number, values in over_time.items()}


def singular_values(memory: Float[np.ndarray, "*rest K V"]) -> Float[np.ndarray, "*rest S"]:
    """The singular values of each matrix, the largest first."""
    return np.linalg.svd(memory, compute_uv=False)


def effective_rank(memory: Float[np.ndarray, "*rest K V"]) -> Float[np.ndarray, "*rest"]:
    """exp of the entropy of the singular values as shares of their sum (Roy & Vetterli 2007); 0 of a zero matrix.

    About the number of directions that a memory uses: K for K orthogonal keys written with equal strength.
    """
    values = singular_values(memory)
    total = values.sum(axis=-1, keepdims=True)
    shares = values / np.where(total > 0, total, 1)
    entropy = -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=-1)
    return np.where(total[..., 0] > 0, np.exp(entropy), 0.0)


def interference(mixer: Mixer, x: Activations) -> Float[np.ndarray, "B H T T"] | None:
    """Cosines between the keys of all tokens, which say how much of one value is read with the key of another.

    None for a mixer without a scan that has keys.
    """
    keys = _keys(mixer, x)
    if keys is None:
        return None
    norms = jnp.linalg.norm(keys, axis=-1, keepdims=True)
    keys = keys / jnp.where(norms > 0, norms, 1)
    return np.asarray(jnp.einsum("bthk,bshk->bhts", keys, keys))


def _keys(mixer: Mixer, x: Activations) -> Float[Array, "B T H K"] | None:
    """The keys of the first scan that has queries and keys."""
    with taps() as tapped:
        mixer(x)
    return next((inputs.k for _, inputs in tapped.scans if hasattr(inputs, "q")), None)
