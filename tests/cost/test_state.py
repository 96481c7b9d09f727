"""What decoding carries: all of it, and what it is."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jaxtyping import Array, Float

from sandbox.cost.state import Size, state_bytes, state_sizes, zoology_bytes
from sandbox.models.channel_mixers import ChannelMixer
from sandbox.models.lm import ModelConfig, Precision
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import OuterConfig
from sandbox.models.mixers.sliding_window import SlidingWindowConfig
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.state_kinds import StateKind, kinds_of


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


MODELS = {name: (config(), ChannelMixer.none) for name, config in MIXERS.items()} | {
    f"channel mixer {channel_mixer.name}": (OuterConfig(), channel_mixer) for channel_mixer in ChannelMixer
}


@pytest.mark.parametrize(("mixer", "channel_mixer"), MODELS.values(), ids=MODELS.keys())
def test_every_array_declares_its_kind(mixer, channel_mixer):
    model = make(mixer, channel_mixer=channel_mixer)
    state = nnx.eval_shape(lambda: model.init_state(1, 100))
    assert len(list(kinds_of(state))) == len(jax.tree.leaves(state))


def test_an_array_without_a_kind_is_an_error():
    class Forgetful(NamedTuple):
        memory: Annotated[Float[Array, "B K"], StateKind.memory]
        cache: Float[Array, "B T"]

    state = Forgetful(jnp.zeros((1, 2)), jnp.zeros((1, 3)))
    with pytest.raises(TypeError, match=r"Forgetful\.cache declares no StateKind"):
        list(kinds_of((state,)))
    with pytest.raises(TypeError, match="a decode state is a named tuple"):
        list(kinds_of(jnp.zeros(3)))


def test_the_kinds_of_a_hybrid():
    model = make(
        OuterConfig(d_state=8, short_conv=4), layout=["mixer", "softmax", "rwkv6"], precision=Precision.bfloat16
    )
    sizes = state_sizes(model, 100)
    assert sizes[StateKind.cache] == Size(2 * 100 * 64, 2 * 2 * 100 * 64)
    assert sizes[StateKind.memory] == Size(8 * 64 + 16 * 64, 4 * (8 * 64 + 16 * 64))
    assert sizes[StateKind.convolution] == Size(3 * (2 * 8 + 64), 2 * 3 * (2 * 8 + 64))
    assert sizes[StateKind.token_shift] == Size(64, 2 * 64)
    assert sizes[StateKind.counter] == Size(1, 4)
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
