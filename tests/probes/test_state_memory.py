"""The matrices of a memory over time, their rank, and the keys that are alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import Decay
from sandbox.probes.half_lives import half_lives
from sandbox.probes.memory import Memory, effective_rank, interference, memories, writes
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
    assert {number: memory.matrices.shape for number, memory in over_time.items()} == {1: (7, 2, 1, 4, 8)}
    block = model.layers[1]
    x = model.layers[0](model.embed(tokens))
    with taps() as tapped:
        block.mixer(block.norm(x))
    ((_, inputs),) = tapped.scans
    expected = np.einsum("bthk,bthv->bhkv", inputs.k, inputs.v)
    np.testing.assert_allclose(over_time[1].matrices[-1], expected, rtol=1e-4, atol=1e-6)
    softmax = ModelConfig(d_model=8).make(MIXERS["softmax"](), 11, rngs=nnx.Rngs(0))
    assert memories(softmax, tokens) == {}


def written(decay: float, erase: bool) -> Memory:
    """A memory of one head to which six tokens write, the last with the key of the first."""
    rng = np.random.default_rng(0)
    keys, values = rng.normal(size=(6, 3)), rng.normal(size=(6, 5))
    keys[5] = keys[0]
    state, matrices = np.zeros((3, 5)), []
    for key, value in zip(keys, values, strict=True):
        unit = key / np.linalg.norm(key)
        state = decay * state - np.outer(unit, unit @ (decay * state)) * erase + np.outer(key, value)
        matrices.append(state)
    return Memory(np.array(matrices)[:, None, None], keys[None, :, None], keys[None, :, None])


def test_a_write_changes_a_memory_along_its_own_key_unless_it_decays():
    for erase in (False, True):
        kept = writes(written(1.0, erase))
        np.testing.assert_allclose(kept["others"], 0, atol=1e-12)
        assert kept["own_key"][0] == 1
        assert (kept["own_key"] > 0).all()
    decayed = writes(written(0.5, False))
    assert decayed["others"][0] == 0
    assert (decayed["others"][1:] > 1e-3).all()


def test_what_a_write_changes_is_what_the_definition_says():
    memory = written(0.9, True)
    before, after = memory.matrices[3:5, 0, 0]
    unit = memory.keys[0, 4, 0] / np.linalg.norm(memory.keys[0, 4, 0])
    own, size = np.square(unit @ (after - before)).sum(), np.square(after).sum()
    row = writes(memory).iloc[4]
    assert row["own_key"] == pytest.approx(own / size)
    assert row["own_key"] + row["others"] == pytest.approx(np.square(after - before).sum() / size)


def test_keys_are_like_themselves():
    cosines = interference(written(1.0, False).keys)
    assert cosines.shape == (1, 1, 6, 6)
    np.testing.assert_allclose(np.diagonal(cosines[0, 0]), 1)
    assert cosines[0, 0, 0, 5] == pytest.approx(1)
    assert np.abs(cosines[0, 0, 0, 1:5]).max() < 0.99


def test_half_lives_are_where_the_config_says_they_begin():
    x = jax.random.normal(jax.random.key(0), (2, 5, 8))
    for decay in (Decay.fixed, Decay.learned_channel):
        found = half_lives(MIXERS["outer"](decay=decay, half_life=32.0).make(8, rngs=nnx.Rngs(0)), x)
        np.testing.assert_allclose(found, 32.0, rtol=1e-4)
    assert half_lives(MIXERS["outer"]().make(8, rngs=nnx.Rngs(0)), x) is None
    assert half_lives(MIXERS["mamba"]().make(8, rngs=nnx.Rngs(0)), x).shape == (2, 5, 1, 16, 16)
