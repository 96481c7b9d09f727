"""The whole model: layouts, decoding, and positions of the readout."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.cost.state import num_parameters, state_bytes
from sandbox.models.channel_mixers import ChannelMixer
from sandbox.models.lm import ModelConfig, Precision
from sandbox.models.mixers.outer import Decay, OuterConfig, Update
from sandbox.models.mixers.short_conv import ShortConvConfig
from sandbox.models.mixers.sliding_window import SlidingWindowConfig
from sandbox.models.mixers.softmax import SoftmaxConfig

VOCABULARY, LENGTH = 20, 9


def hybrid(**options):
    return ModelConfig(
        d_model=12,
        layout=["conv", "mixer", "attention", "memory"],
        mixers={
            "conv": ShortConvConfig(width=4),
            "attention": SoftmaxConfig(num_heads=2),
            "memory": OuterConfig(d_state=5, decay=Decay.data_channel),
        },
        **options,
    )


def make(config, mixer=None):
    return config.make(mixer or OuterConfig(d_state=3, update=Update.delta), VOCABULARY, rngs=nnx.Rngs(0))


def shaped(*arguments):
    """A model with shapes in place of arrays, for what needs no numbers."""
    return nnx.eval_shape(lambda: make(*arguments))


@functools.cache
def made_hybrid():
    return make(hybrid())


TOKENS = jax.random.randint(jax.random.key(3), (2, LENGTH), 0, VOCABULARY)


@pytest.mark.parametrize("channel_mixer", ChannelMixer)
def test_decoding_agrees_with_training_form(channel_mixer):
    model = make(hybrid(channel_mixer=channel_mixer))

    @jax.jit
    def both(tokens):
        prefilled, state = model.prefill(tokens[:, :4], model.init_state(2, LENGTH))
        _, steps = jax.lax.scan(lambda state, token: model.step(token, state)[::-1], state, tokens[:, 4:].T)
        return model(tokens), jnp.concatenate([prefilled, jnp.swapaxes(steps, 0, 1)], axis=1)

    np.testing.assert_allclose(*both(TOKENS), atol=1e-5)


def test_only_the_scored_positions_are_read_out():
    model = jax.jit(made_hybrid())
    positions = jnp.array([[1, 8, 0], [4, 4, 7]])
    np.testing.assert_allclose(
        model(TOKENS, positions),
        np.take_along_axis(np.asarray(model(TOKENS)), positions[..., None], 1),
        atol=1e-6,
    )


def test_bfloat16_keeps_parameters_and_logits_in_float32():
    model = make(hybrid(precision=Precision.bfloat16))
    logits = jax.jit(model)(TOKENS)
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(logits, jax.jit(made_hybrid())(TOKENS), atol=0.05)


def test_state_bytes_match_the_state_that_step_returns():
    def step(length):
        model = make(hybrid())
        return model.step(TOKENS[:1, 0], model.init_state(1, length))

    for length in (1, 7, LENGTH):
        _, carried = jax.eval_shape(functools.partial(step, length))
        assert state_bytes(shaped(hybrid()), length) == sum(
            leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(carried)
        )


def test_state_bytes_of_a_known_model():
    """Published formulas: d_state rows by d_model columns; keys and values of every token, and a counter."""
    config = ModelConfig(d_model=64, layout=["mixer"])
    assert state_bytes(shaped(config, OuterConfig(d_state=8, num_heads=2)), 1000) == 4 * 8 * 64
    assert state_bytes(shaped(config, SoftmaxConfig(num_heads=2)), 1000) == 4 * 2 * 64 * 1000 + 4
    assert state_bytes(shaped(config, ShortConvConfig(width=3)), 1000) == 4 * 2 * 64


def test_parameters_are_counted():
    model = shaped(ModelConfig(d_model=8, layout=["mixer"]), ShortConvConfig(width=3))
    norms, conv, gate = 2 * 8, 3 * 8 + 8, 8 * 8 + 8
    assert num_parameters(model) == VOCABULARY * 8 + norms + conv + gate


@pytest.mark.parametrize(
    ("layout", "num_layers", "expected"),
    [
        (["mixer*2"], None, ["mixer", "mixer"]),
        (["mixer*2"], 3, ["mixer"] * 3),
        (["mixer*2"], 1, ["mixer"]),
        (["short_conv", "mixer*2"], 5, ["short_conv", "mixer", "mixer", "short_conv", "mixer"]),
    ],
)
def test_layout_repeats(layout, num_layers, expected):
    assert ModelConfig(layout=layout, num_layers=num_layers).layer_names() == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"layout": ["mixer*4"], "attention_every": 2}, ["mixer", "attention"] * 2),
        ({"num_layers": 5, "attention_every": 3}, ["mixer", "mixer", "attention", "mixer", "mixer"]),
        (
            {"layout": ["short_conv", "mixer"], "num_layers": 4, "attention_every": 4},
            ["short_conv", "mixer", "short_conv", "attention"],
        ),
        ({"attention_every": 1}, ["attention"] * 2),
    ],
)
def test_every_nth_layer_is_attention(options, expected):
    assert ModelConfig(**options).layer_names() == expected


def test_attention_is_softmax_unless_model_mixers_overrides_it():
    plain, local = (
        ModelConfig(attention_every=2),
        ModelConfig(attention_every=2, mixers={"attention": SlidingWindowConfig(d_state=4)}),
    )
    swept = OuterConfig()
    assert plain.layer_mixers(swept) == [swept, SoftmaxConfig()]
    assert local.layer_mixers(swept) == [swept, SlidingWindowConfig(d_state=4)]


def test_shared_layers_share_weights_but_not_states():
    def with_layout(layout, make=shaped, **options):
        config = ModelConfig(d_model=8, layout=layout, channel_mixer=ChannelMixer.mlp, **options)
        return make(config, OuterConfig(d_state=3))

    shared = with_layout(["mixer", "softmax"] * 2, make, shared=["softmax"])
    alone = with_layout(["mixer*2", "softmax"])
    assert num_parameters(shared) == num_parameters(alone)
    assert shared.layers[1] is shared.layers[3]
    assert shared.layers[0] is not shared.layers[2]
    assert state_bytes(shared, LENGTH) == state_bytes(with_layout(["mixer", "softmax"] * 2), LENGTH)

    graph, params = nnx.split(shared, nnx.Param)
    gradients = jax.jit(jax.grad(lambda params: jnp.sum(nnx.merge(graph, params)(TOKENS) ** 2)))(params)
    assert jax.tree.structure(gradients) == jax.tree.structure(params)
    assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention_every": 3}, r"model\.attention_every=3 must be at most the number of layers, 2"),
        ({"attention_every": 0}, r"model\.attention_every=0 must be at least 1"),
        ({"shared": ["softmax"]}, r"model\.shared has softmax, which no layer is"),
        (
            {"layout": ["mixer", "atention"]},
            r"model\.layout has 'atention' \(did you mean attention\?\): .* names: mixer, attention, softmax",
        ),
        ({"layout": ["mixer*0"]}, r"model\.layout has 'mixer\*0'"),
        ({"layout": []}, r"model\.layout=\[\] has no layer"),
        (
            {"layout": ["mixer", "softmax"], "num_layers": 1},
            r"model\.num_layers=1 leaves no layer for softmax",
        ),
        ({"num_layers": 0}, r"model\.num_layers=0 must be at least 1"),
        ({"d_model": 0}, r"model\.d_model=0 must be at least 1"),
    ],
)
def test_impossible_models_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**options)


def test_each_layer_of_a_layout_has_its_own_config():
    states = [layer.mixer for layer in jax.eval_shape(lambda: make(hybrid()).init_state(1, LENGTH))]
    assert [[leaf.shape for leaf in jax.tree.leaves(state)] for state in states] == [
        [(1, 3, 12)],
        [(1, 1, 3, 12)],
        [(1, LENGTH, 2, 6), (1, LENGTH, 2, 6), ()],
        [(1, 1, 5, 12)],
    ]
