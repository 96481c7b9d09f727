"""Mixers whose memory takes gradient steps, against the equations of their papers, token by token in float64."""

import numpy as np
import pytest
from by_hand import (
    HEADS,
    TOKENS,
    WIDTH,
    causal,
    convolved,
    finished,
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

from sandbox.models.mixers.momentum_deltanet import MomentumDeltaNetConfig
from sandbox.models.mixers.titans import TitansConfig
from sandbox.models.mixers.ttt_linear import TTTLinearConfig
from sandbox.models.mixers.ttt_mlp import TTTMLPConfig

ROWS, COLUMNS = 4, WIDTH  # values are twice as wide as the model, in two heads


def test_momentum_deltanet():
    """In the signs of the authors' code, whose momentum is the gradient; some momenta are below the least."""
    params, x, y = made(MomentumDeltaNetConfig(num_heads=HEADS, d_state=ROWS), momentum_bias=3.0)
    q, k, v = split(convolved(params, x), (HEADS, ROWS), (HEADS, ROWS), (HEADS, COLUMNS))
    q = unit(q - np.exp(params["log_correction"])[:, None] * k) / np.sqrt(ROWS)
    k, rate = unit(k), 1 + np.tanh(x @ params["rate.kernel"] / np.sqrt(WIDTH))
    angle = np.arctan(rate * np.exp(params["log_factor"]))
    decay = scalar_decay(params, x) * np.cos(angle) ** 2
    share = np.sin(angle) ** 2 * sigmoid(x @ params["beta.kernel"])
    speed = softplus(x @ params["momentum.kernel"] + params["momentum_bias"])
    kept = np.maximum(np.exp(-np.exp(params["momentum_log_rates"]) * speed), np.exp(-2))

    def step(state, t, h):
        gradient, memory = state
        error = v[t, h] - decay[t, h] * k[t, h] @ memory
        gradient = kept[t, h] * gradient - rate[t, h] * np.outer(k[t, h], error)
        memory = decay[t, h] * memory - share[t, h] * gradient
        return np.array([gradient, memory]), q[t, h] @ memory

    read = run(step, (2, ROWS, COLUMNS))
    out = finished(params, x, read, lambda x: sigmoid(x @ params["gate.kernel"]))
    np.testing.assert_allclose(y, out, rtol=2e-5, atol=2e-5)


def test_titans():
    params, x, y = made(TitansConfig(num_heads=HEADS, d_state=ROWS))
    q, k, v = split(convolved(params, x), (HEADS, ROWS), (HEADS, ROWS), (HEADS, COLUMNS))
    q, k, forget = unit(q) / np.sqrt(ROWS), unit(k), 1 - scalar_decay(params, x)
    rate = sigmoid(x @ params["beta.kernel"])
    momentum = sigmoid(x @ params["momentum.kernel"] + params["momentum.bias"])

    def loss_gradient(memory, key, value):
        """Of half the squared error, by differences, which are exact for a quadratic."""
        gradient = np.zeros_like(memory)
        for place in np.ndindex(memory.shape):
            moved = np.zeros_like(memory)
            moved[place] = 1
            losses = [((key @ (memory + sign * moved) - value) ** 2).sum() / 2 for sign in (1, -1)]
            gradient[place] = (losses[0] - losses[1]) / 2
        return gradient

    def step(state, t, h):
        surprise, memory = state
        surprise = momentum[t, h] * surprise - rate[t, h] * loss_gradient(memory, k[t, h], v[t, h])
        memory = (1 - forget[t, h]) * memory + surprise
        return np.array([surprise, memory]), q[t, h] @ memory

    read = run(step, (2, ROWS, COLUMNS))
    np.testing.assert_allclose(y, finished(params, x, read, lambda x: silu(x @ params["gate.kernel"])), 2e-5, 2e-5)


def layer_norm(x, scale, bias):
    return rms(x - x.mean(axis=-1, keepdims=True), scale, 1e-6) + bias


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def with_one(x):
    """The input of a layer whose last row of weights is its bias."""
    return np.append(x, 1)


NETWORKS = {
    TTTLinearConfig: lambda x, weights: with_one(x) @ weights[0],
    TTTMLPConfig: lambda x, weights: with_one(gelu(with_one(x) @ weights[0])) @ weights[1],
}


@pytest.mark.parametrize(("config", "base_rate"), [(TTTLinearConfig, 1), (TTTMLPConfig, 0.1)])
def test_time_training(config, base_rate):
    """In mini-batches of four tokens, the third of which takes no step; the gradient is by differences."""
    size, third, network = 4, np.array([0, 0, -1, 0], np.float32), NETWORKS[config]
    params, x, y = made(config(num_heads=HEADS, d_state=ROWS, mini_batch=size), step_scale=third)
    place = np.arange(TOKENS) % size
    angle = place[:, None] * 10_000.0 ** (-np.arange(ROWS // 2) / (ROWS // 2))

    def turned(name):
        convolved = causal(params[f"{name}.kernel"], x @ params["qk.kernel"]) + params[f"{name}.bias"]
        half = np.split(convolved.reshape(TOKENS, HEADS, ROWS), 2, axis=-1)
        pairs = (half[0] + 1j * half[1]) * np.exp(1j * angle)[:, None]
        return np.concatenate([pairs.real, pairs.imag], axis=-1)

    q, k, v = turned("q_conv"), turned("k_conv"), (x @ params["v.kernel"]).reshape(TOKENS, HEADS, ROWS)
    rate = base_rate * sigmoid(x @ params["rate.kernel"] + params["rate.bias"]) / ROWS
    read = np.zeros((TOKENS, HEADS, ROWS))
    for h in range(HEADS):
        scale, shift = params["inner_norm.scale"][h], params["inner_norm.bias"][h]
        layers = range(sum(name.startswith("network.") for name in params) // 2)
        parts = [(params[f"network.{number}.kernel"][h], params[f"network.{number}.bias"][h]) for number in layers]
        weights = [np.vstack(part) for part in parts]

        def loss(weights, t, h=h, scale=scale, shift=shift):
            predicted = layer_norm(network(k[t, h], weights), scale, shift)
            return ((predicted - (v[t, h] - k[t, h])) ** 2).sum() / 2

        for t in range(TOKENS):
            if place[t] == 0:
                start, summed = weights, [np.zeros_like(layer) for layer in weights]
            for number, layer in enumerate(start):
                for entry in np.ndindex(layer.shape):
                    moved = [other.copy() for other in start]
                    moved[number][entry] += 1e-5
                    above = loss(moved, t)
                    moved[number][entry] -= 2e-5
                    summed[number][entry] += rate[t, h] * (above - loss(moved, t)) / 2e-5
            step = max(0, 1 / (place[t] + 1) + params["step_scale"][place[t]])
            weights = [layer - step * total for layer, total in zip(start, summed, strict=True)]
            read[t, h] = q[t, h] + layer_norm(network(q[t, h], weights), scale, shift)
    out = layer_norm(read.reshape(TOKENS, -1), params["norm.scale"], params["norm.bias"])
    out = out * gelu(x @ params["gate.kernel"]) @ params["out.kernel"]
    np.testing.assert_allclose(y, out, rtol=2e-5, atol=2e-5)
