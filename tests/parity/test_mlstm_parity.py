"""mLSTM against the layer of xLSTM-7B in transformers: the same weights, outputs and final state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scan_peers import torch, transformers
from weights import randomize, relative_error, set_param

from sandbox.models.mixers.mlstm import MLSTMConfig

D_MODEL, HEADS, LENGTH = 24, 3, 21


def their_layer():
    xlstm = transformers("xlstm")
    config = xlstm.xLSTMConfig(
        hidden_size=D_MODEL,
        num_heads=HEADS,
        num_hidden_layers=1,
        chunk_size=8,
        autocast_kernel_dtype="float32",
    )
    return randomize(xlstm.xLSTMLayer(config))


def our_mixer(layer):
    mixer = MLSTMConfig(d_state=D_MODEL // 2 // HEADS, num_heads=HEADS).make(D_MODEL, rngs=nnx.Rngs(0))
    for ours, theirs in (
        (mixer.q, layer.q),
        (mixer.k, layer.k),
        (mixer.v, layer.v),
        (mixer.output_gate, layer.ogate_preact),
        (mixer.out, layer.out_proj),
    ):
        set_param(ours.kernel, theirs.weight.T)
    gates = (layer.igate_preact, layer.fgate_preact)
    set_param(mixer.gates.kernel, torch.cat([gate.weight.T for gate in gates], dim=1))
    set_param(mixer.input_bias, gates[0].bias)
    set_param(mixer.forget_bias, gates[1].bias)
    set_param(mixer.norm.scale, layer.multihead_norm.weight.reshape(HEADS, -1))
    return mixer


@pytest.mark.parametrize("size", [1.0, 8.0], ids=["small gates", "gates at their cap"])
def test_the_layer_of_xlstm_computes_the_same(size):
    layer = their_layer()
    mixer = our_mixer(layer)
    x = size * np.random.default_rng(0).normal(size=(2, LENGTH, D_MODEL)).astype(np.float32)
    with torch.no_grad():
        expected, (memory, normalizer, stabilizer) = layer(torch.tensor(x))
    found, state = jax.jit(mixer.prefill)(jnp.asarray(x), mixer.init_state(2, LENGTH))
    assert relative_error(expected, found) < 1e-4
    unit = jnp.exp(state.stabilizer)  # their chunks may choose other units
    assert relative_error(stabilizer.exp()[..., None] * memory, unit * state.memory) < 1e-4
    assert relative_error(stabilizer.exp() * normalizer, (unit * state.normalizer)[:, :, 0]) < 1e-4
