"""Mixers whose memory takes gradient steps, against the equations of their papers, token by token in float64."""

import numpy as np
from by_hand import (
    HEADS,
    WIDTH,
    convolved,
    finished,
    made,
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

ROWS, COLUMNS = 4, WIDTH  # values are twice as wide as the model, in two heads


def test_momentum_deltanet():
    """In the signs of the authors' code, whose momentum is the gradient."""
    params, x, y = made(MomentumDeltaNetConfig(num_heads=HEADS, d_state=ROWS))
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
