"""Memory that decoding carries, from the shapes of the decode state itself: no formula, nothing allocated."""

import math

import jax
from flax import nnx

from sandbox.models.lm import LanguageModel


def state_bytes(model: LanguageModel, num_tokens: int) -> int:
    """Bytes that one sequence carries to the next token after `num_tokens` tokens.

    Everything in the state that `model.step` takes and returns counts: caches, windows and counters included.
    """
    state = nnx.eval_shape(lambda: model.init_state(1, num_tokens))
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def num_parameters(model: LanguageModel) -> int:
    """Trained numbers in the model."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
