"""Mamba, Mamba-2 and the RG-LRU block against transformers, with the same weights: outputs and final states.

Where a peer differs from its paper: Zamba's Mamba has heads, each with selections of its own, and is compared with
one head, which is the Mamba of the paper. RecurrentGemma takes position 0 for the start of a document, where the
multiplier of the input is one; it is given positions from 1, where it follows the paper, as ours does everywhere.
"""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scan_peers import torch, transformers
from weights import randomize, relative_error, set_param

from sandbox.models.mixers.mamba import MambaConfig
from sandbox.models.mixers.mamba2 import Mamba2Config
from sandbox.models.mixers.rglru import RGLRUConfig

D_MODEL, STATES, RANK, LENGTH = 12, 5, 3, 13
X = np.random.default_rng(1).normal(size=(2, LENGTH, D_MODEL)).astype(np.float32)


def set_dense(ours, theirs):
    set_param(ours.kernel, theirs.weight.T)
    if ours.bias is not None:
        set_param(ours.bias, theirs.bias)


def set_conv(ours, theirs):
    """Theirs are the taps of the oldest token first."""
    set_param(ours.kernel, theirs.weight[:, 0].T.flip(0))
    set_param(ours.bias, theirs.bias)


def run_with_cache(config, layer):
    """Their outputs, window (one token more than is needed for the next) and memory."""
    cache = importlib.import_module("transformers").DynamicCache(config=config)
    with torch.no_grad():
        outputs = layer(torch.tensor(X), cache)
    return outputs, cache.layers[0].conv_states[0][:, :, 1:], cache.layers[0].recurrent_states[0]


def run(mixer):
    return jax.jit(mixer.prefill)(jnp.asarray(X), mixer.init_state(X.shape[0], LENGTH))


def mamba_peer(model):
    peer = transformers(model)
    if model == "mamba":
        config = peer.MambaConfig(
            hidden_size=D_MODEL, state_size=STATES, time_step_rank=RANK, num_hidden_layers=1, use_mambapy=False
        )
        return config, peer.MambaMixer(config, 0)
    sizes = {
        "hidden_size": D_MODEL,
        "mamba_d_state": STATES,
        "mamba_dt_rank": RANK,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    if model == "jamba":
        config = peer.JambaConfig(**sizes)
        return config, peer.JambaMambaMixer(config, 0)
    config = peer.ZambaConfig(**sizes, n_mamba_heads=1, layers_block_type=["linear_attention"])
    return config, peer.ZambaMambaMixer(config, 0)


@pytest.mark.parametrize("model", ["mamba", "jamba", "zamba"])
def test_mamba(model):
    config, layer = mamba_peer(model)
    randomize(layer)
    mixer = MambaConfig(d_state=STATES, dt_rank=RANK, inner_norms=model == "jamba").make(D_MODEL, rngs=nnx.Rngs(0))
    set_conv(mixer.conv, layer.conv1d)
    set_dense(mixer.out, layer.out_proj)
    if model == "zamba":  # channels and their gates alternate there
        channels, gates = layer.in_proj.weight[0::2], layer.in_proj.weight[1::2]
        set_param(mixer.project.kernel, torch.cat([channels, gates]).T)
        set_param(mixer.select.kernel, layer.x_proj_weight[0].T)
        set_param(mixer.dt.kernel, layer.dt_proj_weight[0].T)
        set_param(mixer.dt_bias, layer.dt_proj_bias[0])
        set_param(mixer.log_rates, layer.A_log[0])
        set_param(mixer.skip, layer.D[0])
    else:
        set_dense(mixer.project, layer.in_proj)
        set_dense(mixer.select, layer.x_proj)
        set_dense(mixer.dt, layer.dt_proj)
        set_param(mixer.dt_bias, layer.dt_proj.bias)
        set_param(mixer.log_rates, layer.A_log)
        set_param(mixer.skip, layer.D)
    if model == "jamba":
        set_param(mixer.dt_norm.scale, layer.dt_layernorm.weight)
        set_param(mixer.b_norm.scale, layer.b_layernorm.weight)
        set_param(mixer.c_norm.scale, layer.c_layernorm.weight)
    expected, window, memory = run_with_cache(config, layer)
    found, state = run(mixer)
    assert relative_error(expected, found) < 1e-4
    assert relative_error(memory.reshape(state.memory.shape), state.memory) < 1e-4
    assert relative_error(window.transpose(1, 2), state.conv) < 1e-4


def test_mamba2():
    peer, heads, groups = transformers("mamba2"), 6, 2
    config = peer.Mamba2Config(
        hidden_size=D_MODEL,
        state_size=STATES,
        num_heads=heads,
        head_dim=2 * D_MODEL // heads,
        n_groups=groups,
        chunk_size=8,
        num_hidden_layers=1,
    )
    layer = randomize(peer.Mamba2Mixer(config, 0))
    mixer = Mamba2Config(d_state=STATES, num_heads=heads, num_groups=groups).make(D_MODEL, rngs=nnx.Rngs(0))
    set_conv(mixer.conv, layer.conv1d)
    set_dense(mixer.project, layer.in_proj)
    set_dense(mixer.out, layer.out_proj)
    set_param(mixer.dt_bias, layer.dt_bias)
    set_param(mixer.log_rates, layer.A_log)
    set_param(mixer.skip, layer.D)
    set_param(mixer.norm.scale, layer.norm.weight.reshape(groups, -1))
    expected, window, memory = run_with_cache(config, layer)
    found, state = run(mixer)
    assert relative_error(expected, found) < 1e-4
    assert relative_error(memory.transpose(2, 3), state.memory) < 1e-4
    assert relative_error(window.transpose(1, 2), state.conv) < 1e-4


def test_rglru():
    peer, units, heads = transformers("recurrent_gemma"), 10, 2
    config = peer.RecurrentGemmaConfig(hidden_size=D_MODEL, lru_width=units, num_attention_heads=heads)
    block = peer.RecurrentGemmaRecurrentBlock(config, 0)
    for parameter in block.rg_lru.parameters():  # their memory has not been written yet
        torch.nn.init.normal_(parameter)
    randomize(block)
    mixer = RGLRUConfig(d_state=units, num_heads=heads).make(D_MODEL, rngs=nnx.Rngs(0))
    set_dense(mixer.gate, block.linear_y)
    set_dense(mixer.project, block.linear_x)
    set_dense(mixer.out, block.linear_out)
    set_conv(mixer.conv, block.conv_1d)
    set_param(mixer.rate, block.rg_lru.recurrent_param)
    set_param(mixer.input_gate.kernel, block.rg_lru.input_gate_weight)
    set_param(mixer.input_gate.bias, block.rg_lru.input_gate_bias)
    set_param(mixer.recurrence_gate.kernel, block.rg_lru.recurrent_gate_weight)
    set_param(mixer.recurrence_gate.bias, block.rg_lru.recurrent_gate_bias)
    positions = 1 + torch.arange(LENGTH)[None].expand(X.shape[0], -1)
    with torch.no_grad():
        expected, _ = block(torch.tensor(X), positions, None)
    found, state = run(mixer)
    assert relative_error(expected, found) < 1e-4
    assert relative_error(block.rg_lru.recurrent_states, state.units) < 1e-4
    assert relative_error(block.conv1d_state.transpose(1, 2), state.conv) < 1e-4
