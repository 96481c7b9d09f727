"""Memory that decoding carries, from the shapes of the decode state itself: no formula, nothing allocated."""

import enum
import math
from collections import defaultdict
from typing import NamedTuple

import jax
from flax import nnx

from sandbox.models.lm import LanguageModel


class Kind(enum.Enum):
    """What an array of the decode state is."""

    memory = "recurrent memory"
    cache = "cache of tokens"
    convolution = "window of a convolution"
    token_shift = "last token"
    normaliser = "normaliser"
    counter = "counter"
    other = "other"


KINDS = {
    "memory": Kind.memory,
    "mixer": Kind.memory,  # an array without a name of its own is all that its mixer remembers
    "numerator": Kind.memory,
    "units": Kind.memory,
    "hidden": Kind.memory,
    "cell": Kind.memory,
    "k": Kind.cache,
    "v": Kind.cache,
    "near_k": Kind.cache,
    "near_v": Kind.cache,
    "global_k": Kind.cache,
    "global_v": Kind.cache,
    "compressed_k": Kind.cache,
    "compressed_v": Kind.cache,
    "past": Kind.cache,
    "conv": Kind.convolution,
    "last_token": Kind.token_shift,
    "channel_mixer": Kind.token_shift,  # all that one of these carries
    "normalizer": Kind.normaliser,
    "denominator": Kind.normaliser,
    "maximum": Kind.normaliser,
    "stabilizer": Kind.normaliser,
    "length": Kind.counter,
    "position": Kind.counter,
}
"""Name of a field of a decode state -> what it holds. A name that is not here is `other`."""

ZOOLOGY = (Kind.memory, Kind.cache, Kind.other)
"""What the `state_size` methods of Zoology count: memories and caches, and not what stands beside them."""


class Size(NamedTuple):
    """How much there is of something."""

    elements: int
    bytes: int


def state_sizes(model: LanguageModel, num_tokens: int) -> dict[Kind, Size]:
    """What one sequence carries to the next token after `num_tokens` tokens, by kind; only kinds that occur.

    Everything in the state that `model.step` takes and returns counts: caches, windows and counters included.
    """
    state = nnx.eval_shape(lambda: model.init_state(1, num_tokens))
    sizes: dict[Kind, Size] = defaultdict(lambda: Size(0, 0))
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        elements, before = math.prod(leaf.shape), sizes[kind_of(path)]
        size = Size(before.elements + elements, before.bytes + elements * leaf.dtype.itemsize)
        sizes[kind_of(path)] = size
    return dict(sizes)


def kind_of(path: tuple) -> Kind:
    """What the array at this path of the state is, by the name of the innermost field that it stands in."""
    names = [key.name for key in path if isinstance(key, jax.tree_util.GetAttrKey)]
    return KINDS.get(names[-1], Kind.other) if names else Kind.other


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
