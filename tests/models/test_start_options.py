"""How a model starts: the options of `model`, and their presets in `conf/start`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.channel_mixers import ChannelMixer
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers.outer import Decay, OuterConfig
from sandbox.models.mixers.rwkv4 import RWKV4Config
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.models.start import DenseStart
from sandbox.tasks.mqar import MQARConfig
from sandbox.train.config import TrainConfig
from sandbox.train.step import Problem, init_member

WIDTH, VOCABULARY = 64, 200
TOKENS = jnp.arange(12)[None]


def make(mixer=None, **options):
    config = ModelConfig(d_model=WIDTH, layout=["mixer"], **options)
    return config.make(mixer or SoftmaxConfig(), VOCABULARY, rngs=nnx.Rngs(0))


def test_the_embedding_has_the_spread_that_is_asked_for():
    for asked, expected in ((0.02, 0.02), (1.0, 1.0), (None, WIDTH**-0.5)):
        assert np.std(make(embedding_std=asked).embedding[...]) == pytest.approx(expected, rel=0.02)


def test_factors_multiply_embeddings_on_the_way_in_and_divide_logits_on_the_way_out():
    plain, scaled = make(embedding_std=8.0), make(embedding_std=1.0, scale_embedding=True)
    np.testing.assert_allclose(plain(TOKENS), 8 * scaled(TOKENS), rtol=1e-4)
    divided = make(embedding_std=1.0, scale_embedding=True, scale_readout=True)
    np.testing.assert_allclose(scaled(TOKENS), 8 * divided(TOKENS), rtol=1e-4)


def test_an_untied_readout_has_weights_of_its_own():
    model = make(tied=False)
    assert model.readout.kernel.shape == (WIDTH, VOCABULARY)
    before = model(TOKENS)
    model.readout.kernel[...] = 2 * model.readout.kernel[...]
    np.testing.assert_allclose(model(TOKENS), 2 * before, rtol=1e-5)


def test_linear_maps_start_as_asked():
    def spreads(**options):
        mixer = make(RWKV4Config(), **options).blocks[0].mixer
        return [np.std(getattr(mixer, name).kernel[...]) for name in ("k", "out")]

    # RWKV-4 starts its keys at zero; where it says nothing, as for its output, a standard start applies.
    np.testing.assert_allclose(spreads(), [0, WIDTH**-0.5], rtol=0.05)
    np.testing.assert_allclose(spreads(dense=DenseStart.fan_in_uniform), [0, (3 * WIDTH) ** -0.5], rtol=0.05)
    np.testing.assert_allclose(spreads(dense=DenseStart.normal), [0.02, 0.02], rtol=0.05)


@pytest.mark.parametrize("channel_mixer", [ChannelMixer.none, ChannelMixer.mlp, ChannelMixer.swiglu])
def test_output_projections_shrink_with_the_depth(channel_mixer):
    def model(**options):
        config = ModelConfig(d_model=16, layout=["mixer*3"], channel_mixer=channel_mixer, **options)
        return config.make(SoftmaxConfig(), VOCABULARY, rngs=nnx.Rngs(0))

    plain, scaled = nnx.state(model(), nnx.Param), nnx.state(model(branches_per_layer=2), nnx.Param)
    ratios = jax.tree.map(lambda new, old: float(jnp.mean(new / old)), scaled, plain)
    names = {"out", "down"}
    for path, ratio in jax.tree.leaves_with_path(ratios):
        writes = names & {getattr(key, "key", None) for key in path}
        assert ratio == pytest.approx(6**-0.5 if writes else 1, rel=1e-5), path


def test_the_embedding_has_a_learning_rate_of_its_own():
    def moved(embedding_rate):
        train = TrainConfig(learning_rates=[0.1], num_seeds=1, embedding_rate=embedding_rate)
        problem = Problem(ModelConfig(d_model=8), SoftmaxConfig(), MQARConfig(vocab_size=16, pairs=4), train)
        member = init_member(problem, jnp.float32(0.1), jnp.int32(0))
        gradients = jax.tree.map(jnp.ones_like, member.params)
        return problem.optimizer.update(gradients, member.opt_state, member.params)[0]

    plain, slow = moved(1.0), moved(0.1)
    np.testing.assert_allclose(slow.pop("embedding"), 0.1 * plain.pop("embedding"), rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, slow, plain)


@pytest.mark.parametrize("decay", [decay for decay in Decay if decay is not Decay.none])
def test_every_decay_begins_at_the_half_life_that_is_asked_for(decay):
    config = OuterConfig(d_state=4, num_heads=2, decay=decay, half_life=50.0)
    mixer = config.make(16, rngs=nnx.Rngs(0))
    log_decay = mixer._log_decay(jnp.zeros((1, 1, 16)))  # at this input, data-dependent decays are their biases
    heads = np.asarray(log_decay).reshape(2, -1)
    np.testing.assert_allclose(np.exp(heads[0] * 50), 0.5, rtol=1e-5)
    np.testing.assert_allclose(np.exp(heads[1] * 100), 0.5, rtol=1e-5)


def test_impossible_starts_are_refused():
    with pytest.raises(ValueError, match=r"model\.embedding_std=-1\.0"):
        ModelConfig(embedding_std=-1.0)
    with pytest.raises(ValueError, match=r"model\.branches_per_layer=0"):
        ModelConfig(branches_per_layer=0)
    with pytest.raises(ValueError, match=r"mixer\.half_life=0\.0 must be a positive number of tokens"):
        dataclasses.replace(OuterConfig(), half_life=0.0)
