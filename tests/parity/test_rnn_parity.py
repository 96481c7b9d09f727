"""LSTM and the simple RNN against PyTorch's, with the same weights: outputs and final states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scan_peers import torch
from weights import randomize, relative_error, set_param, to_torch

from sandbox.models.mixers.lstm import LSTMConfig
from sandbox.models.mixers.rnn import RNNConfig

D_MODEL, UNITS, LENGTH = 6, 5, 13


@pytest.mark.parametrize(("config", "kind"), [(LSTMConfig, torch.nn.LSTM), (RNNConfig, torch.nn.RNN)])
def test_pytorch_computes_the_same(config, kind):
    layer = randomize(kind(D_MODEL, UNITS, batch_first=True))
    mixer = randomize(config(d_state=UNITS).make(D_MODEL, rngs=nnx.Rngs(0)))
    set_param(mixer.inputs.kernel, layer.weight_ih_l0.T)
    set_param(mixer.recurrent, layer.weight_hh_l0.T)
    bias = mixer.bias if config is LSTMConfig else mixer.inputs.bias
    set_param(bias, layer.bias_ih_l0 + layer.bias_hh_l0)
    x = np.random.default_rng(1).normal(size=(2, LENGTH, D_MODEL)).astype(np.float32)
    with torch.no_grad():
        hidden, final = layer(torch.tensor(x))
        expected = hidden @ to_torch(mixer.out.kernel[...])
    found, state = jax.jit(mixer.prefill)(jnp.asarray(x), mixer.init_state(2, LENGTH))
    assert relative_error(expected, found) < 1e-5
    theirs = final if isinstance(final, tuple) else (final,)
    for leaf, their_leaf in zip(jax.tree.leaves(state), theirs, strict=True):
        assert relative_error(their_leaf[0], leaf) < 1e-5
