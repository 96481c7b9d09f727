"""Several sequences in one row of tokens: their logits and gradients are those of each alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.channel_mixers import ChannelMixer
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.fox import FoXConfig
from sandbox.models.mixers.linear_attention import LinearAttentionConfig
from sandbox.models.mixers.mamba3 import Mamba3Config
from sandbox.models.mixers.outer import Eigenvalues, Erase, FeatureMap, OuterConfig, Update
from sandbox.models.mixers.retnet import RetentionPositions, RetNetConfig
from sandbox.models.mixers.sliding_window import SlidingWindowConfig
from sandbox.models.mixers.softmax import Positions, SoftmaxConfig
from sandbox.scans.check import QUICKLY_COMPILED

LENGTHS = (6, 1, 11, 3)
LONGEST, TOKENS = max(LENGTHS), sum(LENGTHS)
IDS = np.repeat([3, 1, 3, 2], LENGTHS)[None]

CONFIGS = {name: (config(), ChannelMixer.none) for name, config in MIXERS.items()} | {
    "softmax, learned": (SoftmaxConfig(positions=Positions.learned, max_positions=TOKENS), ChannelMixer.none),
    "softmax, hard alibi": (SoftmaxConfig(num_heads=3, positions=Positions.hard_alibi), ChannelMixer.none),
    "sliding_window, narrow": (SlidingWindowConfig(d_state=4), ChannelMixer.rwkv4),
    "linear_attention, cosformer": (LinearAttentionConfig(feature_map=FeatureMap.cosformer), ChannelMixer.mlp),
    "retnet, xpos": (RetNetConfig(num_heads=3, positions=RetentionPositions.xpos), ChannelMixer.rwkv7),
    "outer, product": (OuterConfig(update=Update.product, eigenvalues=Eigenvalues.rotation), ChannelMixer.none),
    "outer, separate": (OuterConfig(update=Update.product, erase=Erase.separate), ChannelMixer.none),
    "mamba3, rank": (Mamba3Config(d_state=9, rank=3), ChannelMixer.none),
    "fox, pro": (FoXConfig(num_heads=4, num_kv_heads=2, pro=True), ChannelMixer.none),
}


def make(mixer, channel_mixer):
    """One layer, with perturbed parameters, because those that start at zero would hide what leaks."""
    model = ModelConfig(d_model=12, layout=["mixer"], channel_mixer=channel_mixer).make(
        mixer, 16, rngs=nnx.Rngs(0)
    )
    rng = np.random.default_rng(2)

    def moved(leaf):
        return jnp.asarray(np.asarray(leaf) + 0.3 * rng.normal(size=leaf.shape), leaf.dtype)

    nnx.update(model, jax.tree.map(moved, nnx.state(model, nnx.Param)))
    return model


def packed_and_alone(model):
    """The logits of one row of all sequences, and of each sequence alone, as functions of the parameters."""
    graph, parameters = nnx.split(model, nnx.Param)
    row = np.random.default_rng(0).integers(16, size=(1, TOKENS))
    parts = np.split(row[0], np.cumsum(LENGTHS)[:-1])
    batch = np.stack([np.pad(part, (0, LONGEST - len(part))) for part in parts])  # what comes later is not seen

    def packed(parameters):
        return nnx.merge(graph, parameters)(jnp.asarray(row), segment_ids=jnp.asarray(IDS))[0]

    def alone(parameters):
        logits = nnx.merge(graph, parameters)(jnp.asarray(batch))
        return jnp.concatenate([one[:length] for one, length in zip(logits, LENGTHS, strict=True)])

    return parameters, packed, alone


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_of_a_packed_row_are_those_of_each_sequence_alone(name):
    parameters, *forms = packed_and_alone(make(*CONFIGS[name]))
    compiled = jax.jit(lambda parameters: [form(parameters) for form in forms], compiler_options=QUICKLY_COMPILED)
    packed, expected = compiled(parameters)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(packed, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["hyena", "log_linear_gla", "longformer", "ttt_linear"])
def test_gradients_of_a_packed_row_are_those_of_each_sequence_alone(name):
    """Of forms that are not scans: all pairs of tokens, a convolution, and `step` for each token."""
    parameters, *forms = packed_and_alone(make(*CONFIGS[name]))
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(TOKENS, 16)), jnp.float32)

    def gradient(form, parameters):
        return jax.grad(lambda parameters: jnp.sum(weights * form(parameters)))(parameters)

    def gradients(parameters):
        return [gradient(form, parameters) for form in forms]

    packed, alone = jax.jit(gradients, compiler_options=QUICKLY_COMPILED)(parameters)
    for one, other in zip(jax.tree.leaves(packed), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


def test_wrong_ids_are_refused(without_shape_checker):
    model = make(SoftmaxConfig(), ChannelMixer.none)
    with pytest.raises(ValueError, match=r"^segment_ids has shape \(1, 21\), expected \[B, T\] = \(1, 20\)$"):
        model(jnp.zeros((1, 20), jnp.int32), segment_ids=jnp.asarray(IDS))
