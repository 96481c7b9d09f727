"""Initial values of LSTM and simple RNN. `tests/parity` compares their outputs with PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.mixers.lstm import LSTMConfig, LSTMState
from sandbox.models.mixers.rnn import RNNConfig

D_MODEL, UNITS = 6, 5


@pytest.mark.parametrize("config", [LSTMConfig(d_state=UNITS), RNNConfig(d_state=UNITS)], ids=["lstm", "rnn"])
def test_recurrence_starts_orthogonal(config):
    kernel = np.asarray(config.make(D_MODEL, rngs=nnx.Rngs(0)).recurrent[...])
    for block in np.split(kernel, kernel.shape[1] // UNITS, axis=1):
        np.testing.assert_allclose(block.T @ block, np.eye(UNITS), atol=1e-5)


def test_a_new_lstm_keeps_most_of_its_cell_state():
    mixer = LSTMConfig(d_state=UNITS).make(D_MODEL, rngs=nnx.Rngs(0))
    cells = jnp.arange(1.0, UNITS + 1)[None]
    _, state = mixer.step(jnp.zeros((1, D_MODEL)), LSTMState(jnp.zeros((1, UNITS)), cells))
    np.testing.assert_allclose(state.cell, cells * jax.nn.sigmoid(1.0), rtol=1e-6)


@pytest.mark.parametrize("config", [LSTMConfig, RNNConfig])
def test_the_default_number_of_hidden_units_is_the_width(config):
    state = jax.eval_shape(lambda: config().make(D_MODEL, rngs=nnx.Rngs(0)).init_state(1, 1))
    assert {leaf.shape for leaf in jax.tree.leaves(state)} == {(1, D_MODEL)}
    with pytest.raises(ValueError, match=r"mixer\.d_state=0 must be at least 1"):
        config(d_state=0)
