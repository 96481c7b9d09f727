"""The root random keys of a run, one for each purpose, so that no two purposes share a draw."""

import jax
from jaxtyping import Array, Int

from sandbox.shapes import PRNGKey

_PARAMETERS, _TRAINING_DATA, _EVALUATION_DATA = range(3)


def parameter_key(seed: Int[Array, ""] | int) -> PRNGKey:
    """The key that a member draws its initial parameters with."""
    return jax.random.fold_in(jax.random.key(_PARAMETERS), seed)


def training_data_key(seed: Int[Array, ""] | int) -> PRNGKey:
    """The key of a member's training examples."""
    return jax.random.fold_in(jax.random.key(_TRAINING_DATA), seed)


def evaluation_data_key() -> PRNGKey:
    """The key of validation and test examples: the same for all seeds and runs."""
    return jax.random.key(_EVALUATION_DATA)
