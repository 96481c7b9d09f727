"""Newer mixers with what they read computed by the references of flash-linear-attention.

What surrounds it, projections, gates and norms, is NumPy, as in `tests/models/test_newer_mixers.py`.
"""

import sys
import types

import numpy as np
import pytest
from by_hand import (
    HEADS,
    TOKENS,
    WIDTH,
    causal,
    channel_log_decay,
    convolved,
    finished,
    level_weights,
    low_rank_gate,
    made,
    rms,
    scalar_decay,
    sigmoid,
    silu,
    softplus,
    split,
    unit,
)
from scan_peers import fla, torch

from sandbox.models.layers.attention import Positions
from sandbox.models.mixers.comba import CombaConfig
from sandbox.models.mixers.fox import FoXConfig
from sandbox.models.mixers.gated_deltanet2 import GatedDeltaNet2Config
from sandbox.models.mixers.gated_deltaproduct import GatedDeltaProductConfig
from sandbox.models.mixers.log_linear_gla import LogLinearGLAConfig
from sandbox.models.mixers.mesanet import MesaNetConfig
from sandbox.models.mixers.momentum_deltanet import MomentumDeltaNetConfig
from sandbox.models.mixers.nsa import NSAConfig
from sandbox.models.mixers.path_attention import PaTHAttentionConfig
from sandbox.models.mixers.preconditioned_kda import PreconditionedKDAConfig

ROWS = 4


def read_by(operation, function, *arrays, **options):
    """What the reference reads at each token of one sequence, `[T, H, V]`."""
    tensors = [torch.tensor(array, dtype=torch.float32)[None] for array in arrays]
    result = getattr(fla(f"{operation}/naive"), function)(*tensors, **options)
    outputs = result[0] if isinstance(result, tuple) else result
    return outputs[0].numpy().astype(np.float64)


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=3e-5)


def test_gated_deltaproduct():
    steps = 3
    params, x, y = made(GatedDeltaProductConfig(num_heads=HEADS, d_state=ROWS, num_steps=steps))
    sizes = (HEADS, ROWS), (steps, HEADS, ROWS), (steps, HEADS, WIDTH)
    q, k, v = split(convolved(params, x), *sizes)
    beta = 2 * sigmoid(x @ params["beta.kernel"])
    read = read_by(
        "gated_delta_product",
        "naive_recurrent_gated_delta_product",
        unit(q),
        unit(k).reshape(-1, HEADS, ROWS),
        v.reshape(-1, HEADS, WIDTH),
        np.log(scalar_decay(params, x)),
        beta.reshape(-1, HEADS),
        scale=ROWS**-0.5,
        num_householder=steps,
    )
    assert_same(y, finished(params, x, read, lambda x: silu(x @ params["gate.kernel"])))


def test_comba():
    """Its chunked reference, which compares with the memory before it decays, as the paper has it."""
    params, x, y = made(CombaConfig(num_heads=HEADS, d_state=ROWS))
    q, k, v = split(convolved(params, x), (HEADS, ROWS), (HEADS, ROWS), (HEADS, WIDTH))
    q = unit(q - (params["correction"] * sigmoid(params["compared"]))[:, None] * k)
    k, log_decay = unit(k), np.log(scalar_decay(params, x))
    beta = sigmoid(x @ params["beta.kernel"])
    read = read_by("comba", "naive_chunk_comba", q, k, v, k, log_decay, beta, chunk_size=4)
    assert_same(y, finished(params, x, read, lambda x: sigmoid(x @ params["gate.kernel"])))


def test_gated_deltanet2():
    columns = WIDTH // HEADS
    params, x, y = made(GatedDeltaNet2Config(num_heads=HEADS, d_state=ROWS))
    q, k, v = split(convolved(params, x), (HEADS, ROWS), (HEADS, ROWS), (HEADS, columns))
    erase = sigmoid(x @ params["beta.kernel"]).reshape(TOKENS, HEADS, ROWS)
    write = sigmoid(x @ params["write.kernel"]).reshape(TOKENS, HEADS, columns)
    log_decay = channel_log_decay(params, x)
    read = read_by("gdn2", "naive_recurrent_gdn2", unit(q), unit(k), v, log_decay, erase, write)
    assert_same(y, finished(params, x, read, low_rank_gate(params)))


def test_preconditioned_kda():
    params, x, y = made(PreconditionedKDAConfig(num_heads=HEADS, d_state=ROWS))
    q, k, v = split(convolved(params, x), (HEADS, ROWS), (HEADS, ROWS), (HEADS, WIDTH // HEADS))
    kept = -np.exp(params["received_log_rates"])
    kept = kept * softplus(x @ params["received_dt.kernel"] + params["received_dt_bias"])
    share = sigmoid(x @ params["received_beta.kernel"])
    beta = sigmoid(x @ params["beta.kernel"])
    read = read_by(
        "precond_kda",
        "naive_recurrent_precond_kda",
        *(unit(q), unit(k), v, channel_log_decay(params, x), kept, share, beta),
        log_atk_scale=torch.tensor(params["usual"]),
    )
    assert_same(y, finished(params, x, read, low_rank_gate(params)))


def test_momentum_deltanet():
    params, x, y = made(MomentumDeltaNetConfig(num_heads=HEADS, d_state=ROWS), momentum_bias=3.0)
    q, k, v = split(convolved(params, x), (HEADS, ROWS), (HEADS, ROWS), (HEADS, WIDTH))
    q, k = unit(q - np.exp(params["log_correction"])[:, None] * k), unit(k)
    rate = 1 + np.tanh(x @ params["rate.kernel"] / np.sqrt(WIDTH))
    split_by = (rate * np.exp(params["log_factor"])) ** 2
    log_decay = np.log(scalar_decay(params, x) / (1 + split_by))
    share = sigmoid(x @ params["beta.kernel"]) * split_by / (1 + split_by)
    speed = softplus(x @ params["momentum.kernel"] + params["momentum_bias"])
    log_momentum = np.maximum(-np.exp(params["momentum_log_rates"]) * speed, -2)
    read = read_by(
        "momentum_delta_rule",
        "recurrent_momentum_delta_rule_ref",
        *(q, k, v, log_decay, log_momentum, k * np.exp(log_decay)[..., None], share, rate),
    )
    assert_same(y, finished(params, x, read, lambda x: sigmoid(x @ params["gate.kernel"])))


def test_mesanet():
    columns = WIDTH // HEADS
    params, x, y = made(MesaNetConfig(num_heads=HEADS, d_state=columns))  # which theirs has as many rows as
    qk = silu(causal(params["conv.kernel"], x @ params["qk.kernel"]))
    q, k = (unit(part) for part in split(qk, (HEADS, columns), (HEADS, columns)))
    v = (x @ params["v.kernel"]).reshape(TOKENS, HEADS, columns)
    kept, beta = (sigmoid(x @ params[f"{name}.kernel"] + params[f"{name}.bias"]) for name in ("keep", "beta"))
    penalty = torch.tensor(0.25 + softplus(params["penalty"]), dtype=torch.float32)
    tensors = [torch.tensor(array, dtype=torch.float32)[None] for array in (q, k, v, np.log(kept))]
    beta = torch.tensor(beta, dtype=torch.float32)[None]
    read = fla("mesa_net/naive").naive_mesa_net_exact(*tensors, penalty, beta)[0][0].numpy()
    assert_same(y, rms(read, params["norm.scale"]).reshape(TOKENS, -1) @ params["out.kernel"])


def test_log_linear_gla():
    channels = 2 * WIDTH
    params, x, y = made(LogLinearGLAConfig(num_heads=HEADS, d_state=ROWS))
    z, convolving, dt = np.split(x @ params["project.kernel"], [channels, 2 * channels + 2 * ROWS], axis=1)
    xbc = silu(causal(params["conv.kernel"], convolving) + params["conv.bias"])
    u, b, c = split(xbc, (HEADS, channels // HEADS), (1, ROWS), (1, ROWS))
    dt = softplus(dt + params["dt_bias"])
    read = read_by(
        "log_linear_attn",
        "naive_log_linear_attn",
        *(c, b, dt[..., None] * u, -dt * np.exp(params["log_rates"]), level_weights(params, x)),
    )
    out = (read + params["skip"][:, None] * u).reshape(TOKENS, -1) * silu(z)
    assert_same(y, rms(out, params["norm.scale"]) @ params["out.kernel"])


def heads(params, x):
    return ((x @ params[f"{name}.kernel"]).reshape(TOKENS, HEADS, WIDTH // HEADS) for name in "qkv")


def test_path_attention():
    params, x, y = made(PaTHAttentionConfig(num_heads=HEADS, rank=5))
    w = silu(causal(params["conv.kernel"], x @ params["w.down.kernel"] @ params["w.up.kernel"]))
    w = unit(w.reshape(TOKENS, HEADS, WIDTH // HEADS))
    beta = 2 * sigmoid(x @ params["beta.kernel"] + params["beta.bias"])
    read = read_by(
        "path_attn",
        "naive_path_attn",
        *(*heads(params, x), w, beta, np.zeros_like(beta)),
        scale=(WIDTH // HEADS) ** -0.5,
        chunk_size=4,
    )
    assert_same(y, read.reshape(TOKENS, -1) @ params["out.kernel"])


def test_fox():
    params, x, y = made(FoXConfig(num_heads=HEADS, pro=False))
    log_forget = np.log(sigmoid(x @ params["forget.kernel"] + params["forget.bias"]))
    read = read_by("forgetting_attn", "naive_forgetting_attn", *heads(params, x), log_forget)
    assert_same(y, read.reshape(TOKENS, -1) @ params["out.kernel"])


@pytest.mark.filterwarnings("ignore:Flash Attention is not installed:ImportWarning")
def test_nsa(monkeypatch):
    """Its three views one by one; the reference of the window needs a GPU, so it is NumPy."""
    kernels = types.SimpleNamespace(
        prepare_chunk_offsets=None, mean_pooling=None
    )  # imported beside the references
    for name in ("fla", "fla.ops", "fla.ops.utils", "fla.ops.utils.pooling"):
        monkeypatch.setitem(sys.modules, name, kernels)
    size, selected, window, num_kv = 2, 4, 5, 1
    params, x, y = made(
        NSAConfig(
            num_heads=HEADS,
            num_kv_heads=num_kv,
            positions=Positions.none,
            block_size=size,
            num_selected=selected,
            window=window,
        )
    )
    width = WIDTH // HEADS
    q, k, v = ((x @ params[f"{name}.kernel"]).reshape(TOKENS, -1, width) for name in "qkv")
    # The reference expects the mean of the last block, as far as it goes, among those that it chooses from.
    means = [np.stack([rows[n : n + size].mean(axis=0) for n in range(0, TOKENS, size)]) for rows in (k, v)]
    options = {"block_size": size, "scale": width**-0.5}
    views = [read_by("nsa", "naive_nsa_compression", q, *means, **options)]
    chosen = read_by("nsa", "naive_nsa_topk", q, means[0], block_counts=selected, **options)
    tensors = [torch.tensor(array, dtype=torch.float32)[None] for array in (q, k, v)]
    chosen = torch.tensor(chosen, dtype=torch.long)[None]
    views.append(fla("nsa/naive").naive_nsa_selection(*tensors, chosen, **options)[0].numpy())
    scores = np.einsum("thk,sgk->ths", q, k) * width**-0.5
    distance = np.arange(TOKENS)[:, None] - np.arange(TOKENS)
    weights = np.where(((distance >= 0) & (distance < window))[:, None], np.exp(scores), 0)
    views.append(np.einsum("ths,sgk->thk", weights / weights.sum(axis=2, keepdims=True), v))
    gates = sigmoid(x @ params["gates.kernel"]).reshape(TOKENS, HEADS, 3, 1)
    read = sum(gates[:, :, number] * view for number, view in enumerate(views))
    assert_same(y, read.reshape(TOKENS, -1) @ params["out.kernel"])
