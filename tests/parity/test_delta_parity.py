"""The delta rule's mixers against layers of others with the same weights: outputs and final states.

Gated DeltaNet against Qwen3-Next (heads of values in groups) and Olmo-Hybrid (β up to 2), KDA against Kimi Linear,
in transformers; DeltaNet, which is not there, against its formula around the recurrence of flash-linear-attention.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scan_peers import fla, heads_first, torch, transformers
from weights import randomize, relative_error, set_param, to_torch

from sandbox.models.mixers.deltanet import DeltaNetConfig
from sandbox.models.mixers.gated_deltanet import GatedDeltaNetConfig
from sandbox.models.mixers.kda import KDAConfig

D_MODEL, LENGTH, WIDTH = 12, 13, 3
X = np.random.default_rng(1).normal(size=(2, LENGTH, D_MODEL)).astype(np.float32)


def make(config):
    return config.make(D_MODEL, rngs=nnx.Rngs(0))


def result(mixer):
    return jax.jit(mixer.prefill)(jnp.asarray(X), mixer.init_state(len(X), LENGTH))


def their_result(layer, config):
    """Outputs, memory and window of a layer of transformers; their window may be longer than ours."""
    cache = transformers("qwen3_next").DynamicCache(config=config)
    with torch.no_grad():
        outputs = layer(torch.tensor(X), cache)
    window = cache.get_conv_state(0, state_idx=0).mT
    return outputs, cache.get_recurrent_state(0, state_idx=0), window[:, window.shape[1] - WIDTH + 1 :]


def set_kernel(dense, weight):
    """Of PyTorch's linear layers: `[outputs, inputs]`."""
    set_param(dense.kernel, weight.T)


def set_conv(conv, weight):
    """PyTorch's filters are `[channels, 1, width]` and end with the newest token, with which ours start."""
    set_param(conv.kernel, weight[:, 0].flip(-1).T)


def set_shared(mixer, layer, *, qkv, beta, norm, out):
    """What all three have."""
    set_kernel(mixer.qkv, torch.cat(qkv))
    set_conv(mixer.conv, layer.conv1d.weight)
    set_kernel(mixer.beta, beta)
    set_param(mixer.norm.scale, norm.weight)
    set_kernel(mixer.out, out.weight)


def assert_same(ours, theirs):
    (outputs, state), (their_outputs, memory, window) = ours, theirs
    assert relative_error(their_outputs, outputs) < 1e-4
    assert relative_error(memory, state.memory) < 1e-4
    assert relative_error(window, state.conv) < 1e-5


@pytest.mark.parametrize(("heads", "value_heads"), [(2, 4), (3, 3)])
def test_gated_deltanet_is_that_of_qwen3_next(heads, value_heads):
    keys, values = 5, 2 * D_MODEL // value_heads
    config = transformers("qwen3_next").Qwen3NextConfig(
        hidden_size=D_MODEL,
        num_hidden_layers=1,
        layer_types=["linear_attention"],
        linear_num_key_heads=heads,
        linear_num_value_heads=value_heads,
        linear_key_head_dim=keys,
        linear_value_head_dim=values,
        linear_conv_kernel_dim=WIDTH,
        rms_norm_eps=1e-5,
    )
    layer = randomize(transformers("qwen3_next").Qwen3NextGatedDeltaNet(config, 0))
    mixer = make(
        GatedDeltaNetConfig(
            d_state=keys, num_heads=heads, num_value_heads=value_heads, conv_width=WIDTH, chunk_size=4
        )
    )
    # Their rows go group by group: a head's query and key, then the values and gates of its heads of values.
    group = value_heads // heads
    by_group = layer.in_proj_qkvz.weight.reshape(heads, -1, D_MODEL)
    parts = by_group.split([keys, keys, group * values, group * values], dim=1)
    q, k, v, gate = (part.flatten(0, 1) for part in parts)
    beta, dt = (part.flatten(0, 1) for part in layer.in_proj_ba.weight.reshape(heads, -1, D_MODEL).chunk(2, dim=1))
    set_shared(mixer, layer, qkv=[q, k, v], beta=beta, norm=layer.norm, out=layer.out_proj)
    set_kernel(mixer.gate, gate)
    set_kernel(mixer.dt, dt)
    set_param(mixer.dt_bias, layer.dt_bias)
    set_param(mixer.log_rates, layer.A_log)
    assert_same(result(mixer), their_result(layer, config))


@pytest.mark.parametrize("negative_eigenvalues", [False, True])
def test_gated_deltanet_is_that_of_olmo_hybrid(negative_eigenvalues):
    heads, keys = 3, 5
    config = transformers("olmo_hybrid").OlmoHybridConfig(
        hidden_size=D_MODEL,
        num_hidden_layers=2,
        num_attention_heads=heads,
        layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=heads,
        linear_num_value_heads=heads,
        linear_key_head_dim=keys,
        linear_value_head_dim=2 * D_MODEL // heads,
        linear_conv_kernel_dim=WIDTH,
        linear_allow_neg_eigval=negative_eigenvalues,
    )
    layer = randomize(transformers("olmo_hybrid").OlmoHybridGatedDeltaNet(config, 0))
    mixer = make(
        GatedDeltaNetConfig(
            d_state=keys, num_heads=heads, conv_width=WIDTH, negative_eigenvalues=negative_eigenvalues
        )
    )
    qkv = [projection.weight for projection in (layer.q_proj, layer.k_proj, layer.v_proj)]
    set_shared(mixer, layer, qkv=qkv, beta=layer.b_proj.weight, norm=layer.o_norm, out=layer.o_proj)
    set_kernel(mixer.gate, layer.g_proj.weight)
    set_kernel(mixer.dt, layer.a_proj.weight)
    set_param(mixer.dt_bias, layer.dt_bias)
    set_param(mixer.log_rates, layer.A_log)
    assert_same(result(mixer), their_result(layer, config))


def test_kda_is_that_of_kimi_linear():
    heads, keys = 3, D_MODEL // 3
    config = transformers("kimi_linear").KimiLinearConfig(
        hidden_size=D_MODEL,
        num_hidden_layers=1,
        layer_types=["linear_attention"],
        linear_num_heads=heads,
        linear_head_dim=keys,
        linear_conv_kernel_dim=WIDTH,
    )
    layer = transformers("kimi_linear").KimiLinearDeltaAttention(config, 0)
    with torch.no_grad():  # made without values
        layer.forget_gate.dt_bias.zero_()
        layer.forget_gate.A_log.zero_()
    layer = randomize(layer)
    mixer = make(KDAConfig(d_state=keys, num_heads=heads, conv_width=WIDTH, chunk_size=4))
    qkv = [projection.weight for projection in (layer.q_proj, layer.k_proj, layer.v_proj)]
    set_shared(mixer, layer, qkv=qkv, beta=layer.b_proj.weight, norm=layer.o_norm, out=layer.o_proj)
    set_kernel(mixer.dt.down, layer.forget_gate.f_a_proj.weight)
    set_kernel(mixer.dt.up, layer.forget_gate.f_b_proj.weight)
    set_kernel(mixer.gate.down, layer.g_a_proj.weight)
    set_kernel(mixer.gate.up, layer.g_b_proj.weight)
    set_param(mixer.dt_bias, layer.forget_gate.dt_bias.reshape(heads, keys))
    set_param(mixer.log_rates, layer.forget_gate.A_log.reshape(heads, 1))
    assert_same(result(mixer), their_result(layer, config))


@pytest.mark.parametrize("negative_eigenvalues", [False, True])
def test_deltanet_is_its_formula_around_the_recurrence_of_fla(negative_eigenvalues):
    heads, keys = 3, 5
    mixer = randomize(
        make(
            DeltaNetConfig(
                d_state=keys, num_heads=heads, conv_width=WIDTH, negative_eigenvalues=negative_eigenvalues
            )
        )
    )
    linear = torch.tensor(X) @ to_torch(mixer.qkv.kernel[...])
    filters = to_torch(mixer.conv.kernel[...]).flip(0).T[:, None]
    convolved = torch.nn.functional.conv1d(linear.mT, filters, padding=WIDTH - 1, groups=len(filters))
    qkv = torch.nn.functional.silu(convolved[..., :LENGTH].mT)
    q, k, v = (
        part.reshape(2, LENGTH, heads, -1) for part in qkv.split([heads * keys, heads * keys, D_MODEL], dim=-1)
    )
    q, k = (torch.nn.functional.normalize(part, dim=-1) for part in (q, k))
    beta = torch.sigmoid(torch.tensor(X) @ to_torch(mixer.beta.kernel[...])) * (1 + negative_eigenvalues)
    # This recurrence scales its queries by K^-1/2 itself.
    recurrence = fla("delta_rule/naive").delta_rule_recurrence
    read, memory = recurrence(*heads_first(q, k, v, beta))
    read = torch.nn.functional.rms_norm(
        read.transpose(1, 2), read.shape[-1:], to_torch(mixer.norm.scale[...]), eps=1e-5
    )
    outputs = read.flatten(2) @ to_torch(mixer.out.kernel[...])
    assert_same(result(mixer), (outputs, memory, linear[:, LENGTH - WIDTH + 1 :]))
