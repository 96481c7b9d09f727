"""Memory that decoding carries, from the shapes of the decode state itself: no formula, nothing allocated."""

import math
from collections import defaultdict
from typing import NamedTuple

import jax
from flax import nnx

from sandbox.models.lm import LanguageModel
from sandbox.state_kinds import StateKind, kinds_of

ZOOLOGY = (StateKind.memory, StateKind.cache)
"""What the `state_size` methods of Zoology count: memories and caches, and not what stands beside them."""


class Size(NamedTuple):
    """How much there is of something."""

    elements: int
    bytes: int


def state_sizes(model: LanguageModel, num_tokens: int) -> dict[StateKind, Size]:
    """What one sequence carries to the next token after `num_tokens` tokens, by kind; only kinds that occur.

    Everything in the state that `model.step` takes and returns counts: caches, windows and counters included.
    """
    state = nnx.eval_shape(lambda: model.init_state(1, num_tokens))
    sizes: dict[StateKind, Size] = defaultdict(lambda: Size(0, 0))
    for kind, leaf in kinds_of(state):
        elements, before = math.prod(leaf.shape), sizes[kind]
        sizes[kind] = Size(before.elements + elements, before.bytes + elements * leaf.dtype.itemsize)
    return dict(sizes)


def state_bytes(model: LanguageModel, num_tokens: int) -> int:
    """Bytes that one sequence carries to the next token after `num_tokens` tokens, all kinds together."""
    return sum(size.bytes for size in state_sizes(model, num_tokens).values())


def zoology_bytes(model: LanguageModel, num_tokens: int) -> int:
    """What the convention of Zoology (Arora et al. 2023, arXiv:2312.04927) counts: to compare with its figures.

    Four bytes for each number of a memory or cache, whatever its type. Windows of convolutions, last tokens,
    normalisers and counters do not count. Two things differ from the published numbers: Zoology counts the `width`
    rows of a convolution that is a layer of its own (BaseConv), and one row more of a window of attention.
    """
    return 4 * sum(size.elements for kind, size in state_sizes(model, num_tokens).items() if kind in ZOOLOGY)


def num_parameters(model: LanguageModel) -> int:
    """Trained numbers in the model."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
