"""Layers of transformers and PyTorch start as `docs/starts.yaml` says that they do.

The layers are those of whole models, which draw their parameters after they are made. Plain linear maps are
compared where the table takes their start from transformers: elsewhere these models draw them anew.
"""

import pathlib
import runpy

import numpy as np
import pytest
from scan_peers import torch, transformers

MADE = runpy.run_path(str(pathlib.Path(__file__).parents[2] / "docs" / "starts_page.py"))
D_MODEL = MADE["D_MODEL"]
SIZES = {"hidden_size": D_MODEL, "vocab_size": 7, "pad_token_id": 0, "num_hidden_layers": MADE["LAYERS"]}


def kernels(**layers):
    """Weights of PyTorch's linear layers, which are `[outputs, inputs]`."""
    return {f"{name}.kernel": layer.weight.T for name, layer in layers.items()}


def conv(layer):
    parts = {"conv.kernel": layer.weight[:, 0].T, "conv.bias": layer.bias}
    return {path: part for path, part in parts.items() if part is not None}


def softmax():
    peer = transformers("gpt2")
    model = peer.GPT2Model(peer.GPT2Config(n_embd=D_MODEL, n_head=1, n_layer=1, vocab_size=7, n_positions=2048))
    layer = model.h[0].attn
    q, k, v = layer.c_attn.weight.chunk(3, dim=1)
    biases = zip(("q.bias", "k.bias", "v.bias"), layer.c_attn.bias.chunk(3), strict=True)
    return {"q.kernel": q, "k.kernel": k, "v.kernel": v, "position_table": model.wpe.weight} | dict(biases)


def sliding_window():
    peer = transformers("mistral")
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1, "intermediate_size": 8}
    layer = peer.MistralModel(peer.MistralConfig(**SIZES, **heads)).layers[0].self_attn
    return kernels(q=layer.q_proj, k=layer.k_proj, v=layer.v_proj, out=layer.o_proj)


def longformer():
    peer = transformers("longformer")
    sizes = {"num_attention_heads": 1, "intermediate_size": 8, "attention_window": 4}
    attention = peer.LongformerModel(peer.LongformerConfig(**SIZES, **sizes)).encoder.layer[0].attention
    layer = attention.self
    own = kernels(q=layer.query, k=layer.key, v=layer.value, out=attention.output.dense)
    return own | kernels(global_q=layer.query_global, global_k=layer.key_global, global_v=layer.value_global)


def bigbird():
    peer = transformers("big_bird")
    config = peer.BigBirdConfig(**SIZES, num_attention_heads=1, intermediate_size=8)
    attention = peer.BigBirdModel(config).encoder.layer[0].attention
    layer = attention.self
    return kernels(q=layer.query, k=layer.key, v=layer.value, out=attention.output.dense)


def rwkv4():
    """The middle layer of a model so deep that the table's two shares of the depth are those of this layer."""
    peer = transformers("rwkv")
    model = peer.RwkvModel(peer.RwkvConfig(**SIZES, intermediate_size=8))
    layer = peer.RwkvSelfAttention(model.config, layer_id=10**6)
    model.config.num_hidden_layers = 2 * 10**6
    for part in layer.modules():
        model._init_weights(part)
    shares = [getattr(layer, f"time_mix_{name}")[0, 0] for name in ("receptance", "key", "value")]
    return {
        "shift.shares": 1 - torch.stack(shares),
        "decay": layer.time_decay,
        "bonus": layer.time_first,
        **kernels(r=layer.receptance, k=layer.key, v=layer.value, out=layer.output),
    }


def mlstm():
    peer = transformers("xlstm")
    config = peer.xLSTMConfig(**SIZES, num_heads=8)
    layer = peer.xLSTMModel(config).blocks[0].mlstm_layer
    own = kernels(q=layer.q, k=layer.k, v=layer.v, output_gate=layer.ogate_preact, out=layer.out_proj)
    gates = (layer.igate_preact, layer.fgate_preact)
    return own | {
        "gates.kernel": torch.cat([gate.weight.T for gate in gates], dim=1),
        "input_bias": gates[0].bias,
        "forget_bias": gates[1].bias,
        "norm.scale": layer.multihead_norm.weight,
    }


def mamba():
    peer = transformers("mamba")
    layer = peer.MambaModel(peer.MambaConfig(**SIZES)).layers[0].mixer
    own = {"dt.kernel": layer.dt_proj.weight.T, "dt_bias": layer.dt_proj.bias, "log_rates": layer.A_log}
    return own | {"skip": layer.D} | conv(layer.conv1d)


def mamba2():
    peer = transformers("mamba2")
    layer = peer.Mamba2Model(peer.Mamba2Config(**SIZES, num_heads=64, head_dim=2)).layers[0].mixer
    own = {"dt_bias": layer.dt_bias, "log_rates": layer.A_log, "skip": layer.D, "norm.scale": layer.norm.weight}
    return own | conv(layer.conv1d)


def rglru():
    peer = transformers("recurrent_gemma")
    config = peer.RecurrentGemmaConfig(**SIZES, lru_width=D_MODEL, num_attention_heads=1, intermediate_size=8)
    layer = peer.RecurrentGemmaModel(config).layers[0].temporal_block
    gates = layer.rg_lru
    biases = {
        "gate.bias": layer.linear_y.bias,
        "project.bias": layer.linear_x.bias,
        "out.bias": layer.linear_out.bias,
    }
    return (
        kernels(gate=layer.linear_y, project=layer.linear_x, out=layer.linear_out)
        | biases
        | conv(layer.conv_1d)
        | {
            "input_gate.kernel": gates.input_gate_weight,
            "input_gate.bias": gates.input_gate_bias,
            "recurrence_gate.kernel": gates.recurrent_gate_weight,
            "recurrence_gate.bias": gates.recurrent_gate_bias,
            "rate": gates.recurrent_param,
        }
    )


def gated_deltanet():
    peer = transformers("olmo_hybrid")
    config = peer.OlmoHybridConfig(
        **SIZES,
        intermediate_size=8,
        num_attention_heads=1,
        layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=32,
        linear_num_value_heads=32,
    )
    layer = peer.OlmoHybridModel(config).layers[0].linear_attn
    own = {"dt_bias": layer.dt_bias, "log_rates": layer.A_log, "norm.scale": layer.o_norm.weight}
    return own | conv(layer.conv1d)


def kda():
    peer = transformers("kimi_linear")
    config = peer.KimiLinearConfig(
        **SIZES,
        intermediate_size=8,
        layer_types=2 * ["linear_attention"],
        linear_num_heads=32,
        linear_head_dim=16,
    )
    layer = peer.KimiLinearModel(config).layers[0].self_attn
    own = {"dt_bias": layer.forget_gate.dt_bias, "log_rates": layer.forget_gate.A_log}
    return own | {"norm.scale": layer.o_norm.weight} | conv(layer.conv1d)


def lstm():
    layer = torch.nn.LSTM(D_MODEL, D_MODEL)
    return {"inputs.kernel": layer.weight_ih_l0.T, "recurrent": layer.weight_hh_l0.T, "bias": layer.bias_ih_l0}


def rnn():
    layer = torch.nn.RNN(D_MODEL, D_MODEL)
    parts = {"inputs.kernel": layer.weight_ih_l0.T, "recurrent": layer.weight_hh_l0.T}
    return parts | {"inputs.bias": layer.bias_ih_l0}


PEERS = (
    softmax,
    sliding_window,
    longformer,
    bigbird,
    rwkv4,
    mlstm,
    mamba,
    mamba2,
    rglru,
    gated_deltanet,
    kda,
    lstm,
    rnn,
)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.__name__)
def test_a_layer_of_others_starts_as_the_table_says(peer):
    torch.manual_seed(0)
    mixer, found = peer.__name__, peer()
    departures = dict(MADE["by_path"](MADE["TABLE"]["mixers"][mixer].get("transformers", {})))
    formulas = {row.path: row.theirs for row in MADE["rows_of"](mixer)} | departures
    config, differences = MADE["config_of"](mixer), {}
    for path, parameter in found.items():
        start = MADE["start"](formulas[path], tuple(parameter.shape), config)
        differences[path] = start.differs(np.asarray(parameter.detach()))
    assert not {path: statistics for path, statistics in differences.items() if statistics}
    assert departures.keys() <= found.keys()
