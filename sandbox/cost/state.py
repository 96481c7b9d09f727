"""Size of the decode state, from the shapes of its arrays, without allocating them."""

import math
from collections import defaultdict
from typing import NamedTuple

import jax
from flax import nnx

from sandbox.models.lm import LanguageModel
from sandbox.state_kinds import StateKind, kinds_of

ZOOLOGY = (StateKind.memory, StateKind.cache)
"""Kinds of arrays that Zoology's `state_size` methods count."""


class Size(NamedTuple):
    """Size of a part of the state."""

    elements: int
    bytes: int


def state_sizes(model: LanguageModel, num_tokens: int) -> dict[StateKind, Size]:
    """Size of one sequence's decode state after `num_tokens` tokens, for each kind of array in it."""
    state = nnx.eval_shape(lambda: model.init_state(1, num_tokens))
    sizes: dict[StateKind, Size] = defaultdict(lambda: Size(0, 0))
    for kind, leaf in kinds_of(state):
        elements, before = math.prod(leaf.shape), sizes[kind]
        sizes[kind] = Size(before.elements + elements, before.bytes + elements * leaf.dtype.itemsize)
    return dict(sizes)


def state_bytes(model: LanguageModel, num_tokens: int) -> int:
    """Bytes of one sequence's decode state after `num_tokens` tokens, including caches, windows and counters."""
    return sum(size.bytes for size in state_sizes(model, num_tokens).values())


def zoology_bytes(model: LanguageModel, num_tokens: int) -> int:
    """Bytes as Zoology counts them (Arora et al. 2023, arXiv:2312.04927): four per element of `ZOOLOGY` kinds.

    Zoology's published sizes also include the `width` rows of a convolution that is a separate layer (BaseConv),
    and one more row of an attention window.
    """
    return 4 * sum(size.elements for kind, size in state_sizes(model, num_tokens).items() if kind in ZOOLOGY)


def num_parameters(model: LanguageModel) -> int:
    """Number of trained parameters of the model."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
