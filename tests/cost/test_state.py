"""What decoding carries: all of it, and what it is."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from sandbox.cost.state import Kind, Size, kind_of, state_bytes, state_sizes, zoology_bytes
from sandbox.models.channel_mixers import ChannelMixer
from sandbox.models.lm import ModelConfig, Precision
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import OuterConfig
from sandbox.models.mixers.sliding_window import SlidingWindowConfig
from sandbox.models.mixers.softmax import SoftmaxConfig


def make(mixer, d_model=64, layout=("mixer",), **options):
    config = ModelConfig(d_model=d_model, layout=list(layout), **options)
    return nnx.eval_shape(lambda: config.make(mixer, 16, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize("name", MIXERS)
def test_the_bytes_are_those_that_a_step_carries(name):
    model = make(MIXERS[name](), d_model=32)
    graph, variables = nnx.split(model)

    def step(variables, tokens, length):
        model = nnx.merge(graph, variables)
        return model.step(tokens, model.init_state(1, length))[1]

    found = []
    for length in (1, 100, 5000):
        token = jax.ShapeDtypeStruct((1,), jnp.int32)
        carried = jax.eval_shape(lambda v, t, n=length: step(v, t, n), variables, token)
        found.append(sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(carried)))
        assert state_bytes(model, length) == found[-1]
    assert (len(set(found)) > 1) == MIXERS[name].grows


def test_growth_is_nothing_a_line_or_capped_at_the_window():
    def growth(mixer):
        model = make(mixer)
        return [state_bytes(model, n + 1) - state_bytes(model, n) for n in (1, 100, 5000, 2**20)]

    assert growth(OuterConfig()) == [0, 0, 0, 0]
    assert growth(SoftmaxConfig()) == [2 * 64 * 4] * 4
    for window in (8, 32):
        rows = (state_bytes(make(SlidingWindowConfig(d_state=window)), 2**20) - 4) // (2 * 64 * 4)
        assert rows == window - 1, "the token itself is not carried"


def test_every_array_has_a_kind():
    """A field that has no kind yet belongs into `KINDS`."""
    unknown = set()
    models = {name: make(config()) for name, config in MIXERS.items()}
    models |= {f"channel mixer {kind.name}": make(OuterConfig(), channel_mixer=kind) for kind in ChannelMixer}
    for name, model in models.items():
        state = nnx.eval_shape(lambda model=model: model.init_state(1, 100))
        for path, _ in jax.tree_util.tree_leaves_with_path(state):
            if kind_of(path) is Kind.other:
                unknown.add((name, jax.tree_util.keystr(path)))
    assert not unknown


def test_the_kinds_of_a_hybrid():
    model = make(
        OuterConfig(d_state=8, short_conv=4), layout=["mixer", "softmax", "rwkv6"], precision=Precision.bfloat16
    )
    sizes = state_sizes(model, 100)
    assert sizes[Kind.cache] == Size(2 * 100 * 64, 2 * 2 * 100 * 64)
    assert sizes[Kind.memory] == Size(8 * 64 + 16 * 64, 4 * (8 * 64 + 16 * 64))
    assert sizes[Kind.convolution] == Size(3 * (2 * 8 + 64), 2 * 3 * (2 * 8 + 64))
    assert sizes[Kind.token_shift] == Size(64, 2 * 64)
    assert sizes[Kind.counter] == Size(1, 4)
    assert state_bytes(model, 100) == sum(size.bytes for size in sizes.values())
    assert zoology_bytes(model, 100) == 4 * (2 * 100 * 64 + 24 * 64)


@pytest.mark.parametrize(
    ("name", "options", "d_model", "published", "differs"),
    [
        ("softmax", {}, 64, 525_056, 0),
        ("sliding_window", {"d_state": 8}, 128, 9_728, 2 * 128 * 4),
        ("sliding_window", {"d_state": 64}, 128, 67_072, 2 * 128 * 4),
        ("based", {"d_state": 16}, 64, 40_548, 0),
        ("based", {"d_state": 8}, 48, 9_396, 0),
        ("gla", {"num_heads": 2, "d_state": 16}, 64, 4_864, 0),
        ("deltanet", {"num_heads": 2, "d_state": 32}, 64, 8_960, 0),
    ],
)
def test_zoologys_count_is_the_published_one(name, options, d_model, published, differs):
    """Figure 2 of Based (arXiv:2402.18668) at 1024 tokens: a convolution over three tokens, then the mixer.

    There the three rows of the convolution count; a window `differs` by the row of the token itself.
    """
    model = make(MIXERS[name](**options), d_model=d_model, layout=["short_conv", "mixer"])
    assert zoology_bytes(model, 1024) == published - 3 * 4 * d_model - differs
