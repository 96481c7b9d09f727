"""Several sequences in one row of tokens: their logits are those of each alone, or the mixer refuses."""

import functools

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
REFUSE = (
    "bigbird",
    "hyena",
    "linformer",
    "log_linear_gated_deltanet",
    "log_linear_gla",
    "longformer",
    "nsa",
    "ttt_linear",
    "ttt_mlp",
)

CONFIGS = {name: (config(), ChannelMixer.none) for name, config in MIXERS.items() if name not in REFUSE} | {
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


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_of_a_packed_row_are_those_of_each_sequence_alone(name):
    graph, parameters = nnx.split(make(*CONFIGS[name]))
    row = np.random.default_rng(0).integers(16, size=(1, TOKENS))
    parts = np.split(row[0], np.cumsum(LENGTHS)[:-1])
    alone = np.stack([np.pad(part, (0, LONGEST - len(part))) for part in parts])  # what comes later is not seen

    @functools.partial(jax.jit, compiler_options=QUICKLY_COMPILED)
    def logits(parameters):
        model = nnx.merge(graph, parameters)
        return model(jnp.asarray(row), segment_ids=jnp.asarray(IDS)), model(jnp.asarray(alone))

    packed, alone = logits(parameters)
    expected = np.concatenate([logits[:length] for logits, length in zip(alone, LENGTHS, strict=True)])
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(packed[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", REFUSE)
def test_a_mixer_that_would_look_across_borders_refuses(name):
    model = make(MIXERS[name](), ChannelMixer.none)
    with pytest.raises(ValueError, match=f"^segment_ids: {name} would look across their borders$"):
        model(jnp.zeros((1, TOKENS), jnp.int32), segment_ids=jnp.asarray(IDS))


def test_wrong_ids_are_refused(without_shape_checker):
    model = make(SoftmaxConfig(), ChannelMixer.none)
    with pytest.raises(ValueError, match=r"^segment_ids has shape \(1, 21\), expected \[B, T\] = \(1, 20\)$"):
        model(jnp.zeros((1, 20), jnp.int32), segment_ids=jnp.asarray(IDS))
