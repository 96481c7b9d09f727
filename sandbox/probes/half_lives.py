"""How long a memory keeps what it holds: the half-lives of its decays over real sequences."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sandbox.models.lm import LanguageModel
from sandbox.models.mixer import Mixer
from sandbox.probes.attention import mixer_inputs
from sandbox.shapes import Activations, Tokens
from sandbox.taps import taps


def half_lives(mixer: Mixer, x: Activations) -> Float[Array, "B T H *rows"] | None:
    """Half-life in tokens of what is in memory, ln 2 / -log γ_t, as the gate of each token sets it.

    Per head and row of the memory, or per head where all rows share a decay; for Mamba per float and channel of
    its state. Infinite where nothing decays. What the delta rule erases by writing is not decay. None for a mixer
    without a scan, or whose rule has no decays.
    """
    with taps() as tapped:
        mixer(x)
    for rule, inputs in sorted(tapped.scans, key=lambda scan: not hasattr(scan[1], "q")):  # the memory's first
        log_decay = None if rule.log_decay is None else rule.log_decay(inputs)
        if log_decay is not None:
            if (steps := log_decay.shape[1] // x.shape[1]) > 1:  # several for each token
                log_decay = log_decay.reshape(*x.shape[:2], steps, *log_decay.shape[2:]).sum(axis=2)
            found = jnp.where(log_decay < 0, math.log(2) / jnp.maximum(-log_decay, 1e-30), jnp.inf)
            return jnp.broadcast_to(found, (*x.shape[:2], *found.shape[2:]))
    return None


def half_lives_of_layers(model: LanguageModel, tokens: Tokens) -> dict[int, Float[np.ndarray, "B T H *rows"]]:
    """The half-lives of each layer that has decays, by its number from 0."""
    found = {number: half_lives(*layer) for number, layer in enumerate(mixer_inputs(model, tokens))}
    return {number: np.asarray(values) for number, values in found.items() if values is not None}
