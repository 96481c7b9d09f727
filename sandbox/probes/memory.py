"""What a layer's memory holds as a sequence is read: its rank, what a token changes, and how alike keys are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from sandbox.models.lm import LanguageModel, ModelState
from sandbox.models.mixer import Mixer
from sandbox.probes.attention import mixer_inputs
from sandbox.shapes import Activations, Tokens
from sandbox.state_kinds import StateKind, kinds_of
from sandbox.taps import taps


class Memory(NamedTuple):
    """The matrices of a layer after each token, with the queries and keys of the tokens."""

    matrices: Float[np.ndarray, "T B H K V"]
    queries: Float[np.ndarray, "B T H K"]
    keys: Float[np.ndarray, "B T H K"]


def memories(model: LanguageModel, tokens: Tokens) -> dict[int, Memory]:
    """The memory of each layer whose scan with keys writes to matrices, one per head; layers count from 0."""
    scans = {number: _queries_and_keys(*layer) for number, layer in enumerate(mixer_inputs(model, tokens))}

    def matrices(state: ModelState) -> dict[int, Array]:
        found = {}
        for number, layer in enumerate(state):
            for kind, leaf in kinds_of(layer):
                if scans[number] is not None and kind is StateKind.memory and leaf.ndim == 4:
                    found[number] = leaf
        return found

    found = over_time(model, tokens, matrices)
    return {
        number: Memory(np.asarray(found[number]), *scan)
        for number, scan in scans.items()
        if scan is not None and number in found
    }


def over_time(model: LanguageModel, tokens: Tokens, chosen: Callable[[ModelState], Any]) -> Any:
    """What `chosen` takes of the decode state, after each token: its arrays with a leading axis of time."""

    def read(state: ModelState, column: Array) -> tuple[ModelState, Any]:
        _, state = model.step(column, state)
        return state, chosen(state)

    return jax.lax.scan(read, model.init_state(*tokens.shape), tokens.T)[1]


def _queries_and_keys(mixer: Mixer, x: Activations) -> tuple[np.ndarray, np.ndarray] | None:
    """The queries and keys of a mixer's first scan that has one of each for a token; None for one without."""
    with taps() as tapped:
        mixer(x)
    with_keys = (inputs for _, inputs in tapped.scans if hasattr(inputs, "q"))
    found = next((inputs for inputs in with_keys if inputs.k.shape[1] == x.shape[1]), None)
    return None if found is None else (np.asarray(found.q), np.asarray(found.k))


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


def writes(memory: Memory) -> pd.DataFrame:
    """What each token changes in a memory, averaged over sequences: columns `position`, `own_key`, `others`.

    Both are shares of the squared size of the memory after the token, ‖S_t‖². `own_key` is what changes along the
    token's key, ‖kᵀ(S_t - S_{t-1})‖² for a key of length one: what it writes, and what it overwrites. `others` is
    the rest of ‖S_t - S_{t-1}‖², which other keys lose or gain by it. A memory that adds without decay changes
    along the token's key alone.
    """
    matrices = memory.matrices
    change = np.diff(matrices, axis=0, prepend=np.zeros_like(matrices[:1]))
    along = np.einsum("bthk,tbhkv->tbhv", of_length_one(memory.keys), change)
    size, own, whole = (np.square(part).reshape(*part.shape[:2], -1).sum(-1) for part in (matrices, along, change))
    own, others = (np.where(size > 0, part / np.where(size > 0, size, 1), 0) for part in (own, whole - own))
    return pd.DataFrame({"position": np.arange(len(size)), "own_key": own.mean(1), "others": others.mean(1)})


def interference(keys: Float[np.ndarray, "B T H K"]) -> Float[np.ndarray, "B H T T"]:
    """Cosines between the keys of all tokens, which say how much of one value is read with the key of another."""
    unit = of_length_one(keys)
    return np.einsum("bthk,bshk->bhts", unit, unit)


def of_length_one(vectors: Float[np.ndarray, "*rest K"]) -> Float[np.ndarray, "*rest K"]:
    """The vectors, scaled to length one; a zero stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)
