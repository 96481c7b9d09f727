"""The matrices of a memory over time, their rank, and the keys that are alike."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import Decay
from sandbox.probes.half_lives import half_lives
from sandbox.probes.memory import effective_rank, interference, memories
from sandbox.taps import taps


def test_the_rank_is_the_number_of_orthogonal_keys_until_all_rows_are_used():
    keys = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    values = np.linalg.qr(np.random.default_rng(1).normal(size=(9, 9)))[0][:6]
    written = np.cumsum(keys[:, :, None] * values[:, None, :], axis=0)
    np.testing.assert_allclose(effective_rank(written), np.arange(1, 7), rtol=1e-5)
    assert effective_rank(np.zeros((2, 3, 4))).tolist() == [0, 0]


def test_memories_are_those_of_the_scan():
    model = ModelConfig(d_model=8, layout=["short_conv", "mixer"]).make(
        MIXERS["outer"](d_state=4), 11, rngs=nnx.Rngs(0)
    )
    tokens = jnp.arange(14).reshape(2, 7) % 11
    over_time = memories(model, tokens)
    assert {number: values.shape for number, values in over_time.items()} == {1: (7, 2, 1, 4, 8)}
    block = model.layers[1]
    x = model.layers[0](model.embed(tokens))
    with taps() as tapped:
        block.mixer(block.norm(x))
    ((_, inputs),) = tapped.scans
    expected = np.einsum("bthk,bthv->bhkv", inputs.k, inputs.v)
    np.testing.assert_allclose(over_time[1][-1], expected, rtol=1e-4, atol=1e-6)


def test_keys_are_like_themselves():
    mixer = MIXERS["deltanet"](d_state=4).make(8, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 5, 8))
    cosines = interference(mixer, x.at[:, 3].set(x[:, 1]).at[:, 2].set(x[:, 0]))
    assert cosines.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(np.diagonal(cosines, axis1=2, axis2=3), 1, rtol=1e-5)
    assert interference(MIXERS["softmax"]().make(8, rngs=nnx.Rngs(0)), x) is None


def test_half_lives_are_where_the_config_says_they_begin():
    x = jax.random.normal(jax.random.key(0), (2, 5, 8))
    for decay in (Decay.fixed, Decay.learned_channel):
        found = half_lives(MIXERS["outer"](decay=decay, half_life=32.0).make(8, rngs=nnx.Rngs(0)), x)
        np.testing.assert_allclose(found, 32.0, rtol=1e-4)
    assert half_lives(MIXERS["outer"]().make(8, rngs=nnx.Rngs(0)), x) is None
    assert half_lives(MIXERS["mamba"]().make(8, rngs=nnx.Rngs(0)), x).shape == (2, 5, 1, 16, 16)
