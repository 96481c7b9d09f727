"""Newer mixers against the equations of their papers, token by token in float64, with the mixers' parameters."""

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
    run,
    scalar_decay,
    sigmoid,
    silu,
    softplus,
    split,
    unit,
)

from sandbox.models.mixers.comba import CombaConfig
from sandbox.models.mixers.fox import FoXConfig
from sandbox.models.mixers.gated_deltanet2 import GatedDeltaNet2Config
from sandbox.models.mixers.gated_deltaproduct import GatedDeltaProductConfig
from sandbox.models.mixers.log_linear_gated_deltanet import LogLinearGatedDeltaNetConfig
from sandbox.models.mixers.log_linear_gla import LogLinearGLAConfig
from sandbox.models.mixers.mamba3 import Mamba3Config
from sandbox.models.mixers.mesanet import MesaNetConfig
from sandbox.models.mixers.path_attention import PaTHAttentionConfig
from sandbox.models.mixers.preconditioned_kda import PreconditionedKDAConfig
from sandbox.models.mixers.slstm import SLSTMConfig


def test_gated_deltaproduct():
    steps, rows, columns = 3, 4, WIDTH
    params, x, y = made(GatedDeltaProductConfig(num_heads=HEADS, d_state=rows, num_steps=steps))
    keys, values = (HEADS, rows), (steps, HEADS, columns)
    q, k, v = split(convolved(params, x), keys, (steps, *keys), values)
    q, k, decay = unit(q) / np.sqrt(rows), unit(k), scalar_decay(params, x)
    beta = 2 * sigmoid(x @ params["beta.kernel"]).reshape(TOKENS, steps, HEADS)

    def step(state, t, h):
        state = decay[t, h] * state
        for j in range(steps):
            state = state + beta[t, j, h] * np.outer(k[t, j, h], v[t, j, h] - k[t, j, h] @ state)
        return state, q[t, h] @ state

    read = run(step, (rows, columns))
    np.testing.assert_allclose(y, finished(params, x, read, lambda x: silu(x @ params["gate.kernel"])), atol=2e-5)


def test_comba():
    rows, columns = 4, WIDTH
    params, x, y = made(CombaConfig(num_heads=HEADS, d_state=rows))
    q, k, v = split(convolved(params, x), (HEADS, rows), (HEADS, rows), (HEADS, columns))
    q = unit(q - (params["correction"] * sigmoid(params["compared"]))[:, None] * k) / np.sqrt(rows)
    k, decay, beta = unit(k), scalar_decay(params, x), sigmoid(x @ params["beta.kernel"])

    def step(state, t, h):
        error = v[t, h] - k[t, h] @ state  # before it decays
        state = decay[t, h] * state + beta[t, h] * np.outer(k[t, h], error)
        return state, q[t, h] @ state

    read = run(step, (rows, columns))
    np.testing.assert_allclose(
        y, finished(params, x, read, lambda x: sigmoid(x @ params["gate.kernel"])), atol=2e-5
    )


def test_gated_deltanet2():
    rows, columns = 4, WIDTH // HEADS
    params, x, y = made(GatedDeltaNet2Config(num_heads=HEADS, d_state=rows))
    q, k, v = split(convolved(params, x), (HEADS, rows), (HEADS, rows), (HEADS, columns))
    q, k = unit(q) / np.sqrt(rows), unit(k)
    decay = np.exp(channel_log_decay(params, x))
    erase = sigmoid(x @ params["beta.kernel"]).reshape(TOKENS, HEADS, rows)
    write = sigmoid(x @ params["write.kernel"]).reshape(TOKENS, HEADS, columns)

    def step(state, t, h):
        state = decay[t, h][:, None] * state
        state = state + np.outer(k[t, h], write[t, h] * v[t, h] - (erase[t, h] * k[t, h]) @ state)
        return state, q[t, h] @ state

    read = run(step, (rows, columns))
    np.testing.assert_allclose(y, finished(params, x, read, low_rank_gate(params)), atol=2e-5)


@pytest.mark.parametrize("rank", [1, 3])
def test_mamba3(rank):
    rows, channels = 9, 2 * WIDTH
    config = Mamba3Config(num_heads=HEADS, d_state=rows, rank=rank)
    params, x, y = made(config)
    columns = channels // HEADS
    sizes = [(HEADS, columns)] * 2 + [(rank, rows)] * 2 + [(HEADS,)] * 3 + [(config.angles,)]
    z, u, b, c, dt, rate, share, turn = split(x @ params["project.kernel"], *sizes)
    dt = softplus(dt + params["dt_bias"])
    decay, share = np.exp(-dt * np.maximum(softplus(rate), 1e-4)), sigmoid(share)
    angle = np.cumsum(np.pi * dt[:, :, None] * np.tanh(turn)[:, None], axis=0)
    mixes = {name: params.get(f"mix_{name}", np.ones((1, 1, 1))) for name in ("values", "gates", "outputs")}

    def direction(raw, name, t, h):
        """[R, N], turned: pairs of channels as complex numbers."""
        moved = rms(raw[t], params[f"{name}_norm.scale"]) + params[f"{name}_bias"][:, h]
        even, odd = (moved[:, start : 2 * config.angles : 2] for start in (0, 1))
        pairs = (even + 1j * odd) * np.exp(1j * angle[t, h])
        even[...], odd[...] = pairs.real, pairs.imag
        return moved

    def written(t, h):
        return direction(b, "key", t, h).T @ (mixes["values"][:, min(h, mixes["values"].shape[1] - 1)] * u[t, h])

    def step(state, t, h):
        before = (1 - share[t, h]) * dt[t, h] * written(t - 1, h) if t else 0
        state = decay[t, h] * (state + before) + share[t, h] * dt[t, h] * written(t, h)
        head = min(h, mixes["values"].shape[1] - 1)
        read = direction(c, "query", t, h) @ state + params["skip"][h] * mixes["values"][:, head] * u[t, h]
        out = mixes["outputs"][:, head] * read * silu(mixes["gates"][:, head] * z[t, h])
        return state, out.sum(axis=0)

    out = run(step, (rows, columns)).reshape(TOKENS, -1) @ params["out.kernel"]
    np.testing.assert_allclose(y, out, atol=2e-5)


def by_levels(weights, transition, written, q):
    """What each token reads where each earlier one is carried alone, and weighted by its level."""
    carried, read = [], np.zeros((TOKENS, HEADS, written(0, 0).shape[1]))
    for t in range(TOKENS):
        carried = [[transition(t, h) @ state[h] for h in range(HEADS)] for state in carried]
        carried.append([written(t, h) for h in range(HEADS)])
        for h in range(HEADS):
            read[t, h] = sum(weights[t, h, (t ^ j).bit_length()] * q[t, h] @ carried[j][h] for j in range(t + 1))
    return read


def test_log_linear_gated_deltanet():
    rows, columns = 4, WIDTH
    params, x, y = made(LogLinearGatedDeltaNetConfig(num_heads=HEADS, d_state=rows))
    q, k, v = split(convolved(params, x), (HEADS, rows), (HEADS, rows), (HEADS, columns))
    q, k = unit(q) / np.sqrt(rows), unit(k)
    decay, beta = scalar_decay(params, x), sigmoid(x @ params["beta.kernel"])

    def transition(t, h):
        return decay[t, h] * (np.eye(rows) - beta[t, h] * np.outer(k[t, h], k[t, h]))

    read = by_levels(level_weights(params, x), transition, lambda t, h: beta[t, h] * np.outer(k[t, h], v[t, h]), q)
    np.testing.assert_allclose(y, finished(params, x, read, lambda x: silu(x @ params["gate.kernel"])), atol=2e-5)


def test_log_linear_gla():
    rows, channels = 4, 2 * WIDTH
    params, x, y = made(LogLinearGLAConfig(num_heads=HEADS, d_state=rows))
    z, convolving, dt = np.split(x @ params["project.kernel"], [channels, 2 * channels + 2 * rows], axis=1)
    xbc = silu(causal(params["conv.kernel"], convolving) + params["conv.bias"])
    u, b, c = split(xbc, (HEADS, channels // HEADS), (rows,), (rows,))
    dt = softplus(dt + params["dt_bias"])
    decay, q = np.exp(-dt * np.exp(params["log_rates"])), np.repeat(c[:, None], HEADS, axis=1)
    read = by_levels(
        level_weights(params, x),
        lambda t, h: decay[t, h] * np.eye(rows),
        lambda t, h: dt[t, h] * np.outer(b[t], u[t, h]),
        q,
    )
    out = (read + params["skip"][:, None] * u).reshape(TOKENS, -1) * silu(z)
    np.testing.assert_allclose(y, rms(out, params["norm.scale"]) @ params["out.kernel"], atol=2e-5)


def test_preconditioned_kda():
    rows, columns = 4, WIDTH // HEADS
    params, x, y = made(PreconditionedKDAConfig(num_heads=HEADS, d_state=rows))
    q, k, v = split(convolved(params, x), (HEADS, rows), (HEADS, rows), (HEADS, columns))
    q, k, beta = unit(q) / np.sqrt(rows), unit(k), sigmoid(x @ params["beta.kernel"])
    decay = np.exp(channel_log_decay(params, x))
    rate = np.exp(params["received_log_rates"])
    kept = np.exp(-rate * softplus(x @ params["received_dt.kernel"] + params["received_dt_bias"]))
    share = sigmoid(x @ params["received_beta.kernel"])
    received = np.zeros((HEADS, rows))

    def step(state, t, h):
        received[h] = kept[t, h] * received[h] + share[t, h] * k[t, h] ** 2
        above = np.log(received[h] + 1e-6) - params["usual"][h]
        scaled = 1.5 ** (-above / (1 + np.abs(above))) * k[t, h]
        state = decay[t, h][:, None] * state
        state = state + beta[t, h] * np.outer(scaled, v[t, h] - k[t, h] @ state)
        return state, q[t, h] @ state

    read = run(step, (rows, columns))
    np.testing.assert_allclose(y, finished(params, x, read, low_rank_gate(params)), atol=2e-5)


def test_mesanet():
    rows, columns = 4, WIDTH // HEADS
    params, x, y = made(MesaNetConfig(num_heads=HEADS, d_state=rows))
    qk = silu(causal(params["conv.kernel"], x @ params["qk.kernel"]))
    q, k = (unit(part) for part in split(qk, (HEADS, rows), (HEADS, rows)))
    v = (x @ params["v.kernel"]).reshape(TOKENS, HEADS, columns)
    kept, beta = (sigmoid(x @ params[f"{name}.kernel"] + params[f"{name}.bias"]) for name in ("keep", "beta"))
    penalty = 0.25 + softplus(params["penalty"])
    read = np.zeros((TOKENS, HEADS, columns))
    for t in range(TOKENS):
        for h in range(HEADS):
            weights = np.array([beta[i, h] * np.prod(kept[i + 1 : t + 1, h]) for i in range(t + 1)])
            seen = k[: t + 1, h]
            ridge = seen.T @ (weights[:, None] * seen) + np.diag(penalty[h])
            fitted = np.linalg.solve(ridge, seen.T @ (weights[:, None] * v[: t + 1, h]))  # penalised least squares
            read[t, h] = q[t, h] @ fitted
    out = rms(read, params["norm.scale"]).reshape(TOKENS, -1) @ params["out.kernel"]
    np.testing.assert_allclose(y, out, atol=2e-5)


def test_path_attention():
    params, x, y = made(PaTHAttentionConfig(num_heads=HEADS, rank=5))
    size = (HEADS, WIDTH // HEADS)
    q, k, v = ((x @ params[f"{name}.kernel"]).reshape(TOKENS, *size) for name in "qkv")
    w = silu(causal(params["conv.kernel"], x @ params["w.down.kernel"] @ params["w.up.kernel"]))
    w = unit(w.reshape(TOKENS, *size))
    beta = 2 * sigmoid(x @ params["beta.kernel"] + params["beta.bias"])
    read = np.zeros((TOKENS, *size))
    for t in range(TOKENS):
        for h in range(HEADS):
            scores = []
            for i in range(t + 1):
                turned = k[i, h]
                for s in range(i + 1, t + 1):
                    turned = turned - beta[s, h] * w[s, h] * (w[s, h] @ turned)
                scores.append(q[t, h] @ turned / np.sqrt(size[1]))
            weights = np.exp(scores)
            read[t, h] = weights / weights.sum() @ v[: t + 1, h]
    np.testing.assert_allclose(y, read.reshape(TOKENS, -1) @ params["out.kernel"], atol=2e-5)


@pytest.mark.parametrize("steepness", [0, 100])
def test_slstm(steepness):
    """In the plain units of the paper, without its stabiliser, in which steep gates would overflow in float32."""
    entry = np.array([steepness, 0, 0, 0], np.float32)[:, None, None, None]
    params, x, y = made(SLSTMConfig(num_heads=HEADS), gates=entry)
    channels = WIDTH // HEADS
    near = silu(causal(params["conv.kernel"], x) + params["conv.bias"])
    near, now = near.reshape(TOKENS, HEADS, channels), x.reshape(TOKENS, HEADS, channels)
    out = np.zeros((TOKENS, HEADS, channels))
    for h in range(HEADS):
        hidden = cell = normalizer = np.zeros(channels)
        for t in range(TOKENS):
            raw = [
                (near if gate < 2 else now)[t, h] @ params["gates"][gate, h]
                + hidden @ params["recurrent"][gate, h]
                + params["bias"][gate, h]
                for gate in range(4)
            ]
            cell = sigmoid(raw[1]) * cell + np.exp(raw[0]) * np.tanh(raw[2])
            normalizer = sigmoid(raw[1]) * normalizer + np.exp(raw[0])
            hidden = sigmoid(raw[3]) * cell / normalizer
            out[t, h] = hidden
    centred = out - out.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(y, (rms(centred) * params["norm.scale"]).reshape(TOKENS, -1), atol=5e-5)


@pytest.mark.parametrize("pro", [False, True])
def test_fox(pro):
    params, x, y = made(FoXConfig(num_heads=HEADS, pro=pro))
    size = (HEADS, WIDTH // HEADS)
    q, k, v = ((x @ params[f"{name}.kernel"]).reshape(TOKENS, *size) for name in "qkv")
    if pro:
        mixed = []
        for number, part in enumerate((k, v)):
            share = sigmoid(x @ params[f"shifts.{number}.kernel"])[..., None]
            before = np.concatenate([np.zeros((1, *size)), part[:-1]])
            mixed.append(share * before + (1 - share) * part)
        q, k, v = rms(q, params["norms.0.scale"]), rms(mixed[0], params["norms.1.scale"]), mixed[1]
    forget = sigmoid(x @ params["forget.kernel"] + params["forget.bias"])
    read = np.zeros((TOKENS, *size))
    for t in range(TOKENS):
        for h in range(HEADS):
            kept = [np.prod(forget[i + 1 : t + 1, h]) for i in range(t + 1)]
            weights = np.exp(k[: t + 1, h] @ q[t, h] / np.sqrt(size[1])) * kept
            read[t, h] = weights / weights.sum() @ v[: t + 1, h]
    if pro:
        read = rms(read, params["norms.2.scale"])
    read = read.reshape(TOKENS, -1) * (sigmoid(x @ params["gate.kernel"]) if pro else 1)
    np.testing.assert_allclose(y, read @ params["out.kernel"], atol=2e-5)
