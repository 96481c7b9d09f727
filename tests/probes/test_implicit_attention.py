"""The implicit attention matrix of every mixer gives back what the mixer read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.errors import InputError
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import Decay
from sandbox.probes import implicit_attention, implicit_attention_of_layers, summarize_attention
from sandbox.taps import taps

NOT_LINEAR = {"lstm", "slstm", "rnn", "short_conv", "ttt_linear", "ttt_mlp"}
D_MODEL, LENGTH = 16, 13
SMALL = {
    "sliding_window": {"d_state": 4},
    "longformer": {"d_state": 4},
    "bigbird": {"d_state": 4},
    "linformer": {"d_state": 2, "block_size": 4},
}
"""Windows and blocks that are shorter than the sequence."""


def made(name, **options):
    mixer = MIXERS[name](**options).make(D_MODEL, rngs=nnx.Rngs(0))
    return mixer, jax.random.normal(jax.random.key(1), (2, LENGTH, D_MODEL))


@pytest.mark.slow(seconds=90)
@pytest.mark.parametrize("name", sorted(MIXERS.keys() - NOT_LINEAR))
def test_the_matrix_times_the_values_is_what_was_read(name):
    mixer, x = made(name, **SMALL.get(name, {}))
    matrix, read = implicit_attention(mixer, x)
    assert matrix.shape == (*read.shape[:2], LENGTH, *read.shape[2:])
    assert not np.asarray(matrix)[:, ~np.tri(LENGTH, dtype=bool)].any(), "looks ahead"
    with taps() as tapped:
        mixer(x)
    # Longformer has other values for what is seen from everywhere, a delta product several for each token.
    if len(tapped.values) == 1 and tapped.values[0].size == read.size:
        values = tapped.values[0].reshape(2, LENGTH, *read.shape[2:])
        again = jnp.einsum("bts...,bs...->bt...", matrix, values)
        np.testing.assert_allclose(again, read, rtol=1e-4, atol=1e-5 * float(np.abs(read).max()))


def test_of_softmax_it_has_weights_that_sum_to_one():
    matrix, _ = implicit_attention(*made("softmax"))
    assert (np.asarray(matrix) >= 0).all()
    np.testing.assert_allclose(np.sum(matrix, axis=2), 1, rtol=1e-5)


def test_of_a_decaying_memory_it_is_what_its_equation_says():
    mixer, x = made("outer", decay=Decay.data_channel, d_state=4, num_heads=2)
    with taps() as tapped:
        mixer(x)
    ((_, inputs),) = tapped.scans
    kept = np.cumsum(np.broadcast_to(inputs.log_decay, inputs.k.shape), axis=1)
    between = np.exp(kept[:, :, None] - kept[:, None])
    expected = np.einsum("bthk,btshk,bshk->btsh", inputs.q, between, inputs.k) * np.tri(LENGTH)[None, :, :, None]
    matrix, _ = implicit_attention(mixer, x)
    for channel in range(matrix.shape[-1]):
        np.testing.assert_allclose(matrix[..., channel], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["h3", "s4d"])
def test_a_scan_in_place_of_a_convolution_has_the_same_matrix(name):
    by_convolution, read = implicit_attention(*made(name))
    by_scan, read_by_scan = implicit_attention(*made(name, implementation="recurrent"))
    np.testing.assert_allclose(read_by_scan, read, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(by_scan, by_convolution, rtol=1e-3, atol=1e-5)


def test_a_model_has_the_matrices_of_its_layers():
    model = ModelConfig(d_model=D_MODEL, layout=["short_conv", "mixer"]).make(
        MIXERS["softmax"](), 11, rngs=nnx.Rngs(0)
    )
    matrices = implicit_attention_of_layers(model, jnp.arange(10).reshape(2, 5))
    assert {number: matrix.shape for number, matrix in matrices.items()} == {1: (2, 5, 5, 1, D_MODEL)}


def test_a_summary_tells_sharp_from_even():
    length = 8
    positions, sources, weights = jnp.array([[7, 5, 0]]), jnp.array([[2, 1, 0]]), jnp.array([[1.0, 1.0, 0.0]])
    even = jnp.tri(length)[None] / jnp.arange(1, length + 1)[None, :, None]
    sharp = jnp.zeros((1, length, length)).at[0, 7, 2].set(-0.1).at[0, 5, 1].set(2.0)
    np.testing.assert_allclose(
        summarize_attention(even, positions, sources, weights), ((1 / 8 + 1 / 6) / 2, 1, 0), rtol=1e-5
    )
    np.testing.assert_allclose(summarize_attention(sharp, positions, sources, weights), (1, 0, 0.5), atol=1e-6)


@pytest.mark.parametrize("name", sorted(NOT_LINEAR))
def test_a_mixer_that_is_not_linear_in_its_values_is_refused(name):
    mixer, x = made(name)
    with pytest.raises(InputError, match="no memory that is linear in its values"):
        implicit_attention(mixer, x)
