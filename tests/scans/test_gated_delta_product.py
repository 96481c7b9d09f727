"""Several steps of the delta rule per token are those of the definition, token by token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sandbox.scans import gated_delta_product, gated_delta_rule

BATCH, TOKENS, STEPS, HEADS, ROWS, COLUMNS = 2, 7, 3, 2, 4, 5


def arguments(decay):
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(BATCH, TOKENS, STEPS, HEADS, ROWS))
    shapes = {"scalar": (BATCH, TOKENS, HEADS, 1), "channel": (BATCH, TOKENS, HEADS, ROWS), "fixed": (HEADS, 1)}
    return (
        rng.normal(size=(BATCH, TOKENS, HEADS, ROWS)),
        keys / np.linalg.norm(keys, axis=-1, keepdims=True),
        rng.normal(size=(BATCH, TOKENS, STEPS, HEADS, COLUMNS)),
        rng.uniform(0, 2, size=(BATCH, TOKENS, STEPS, HEADS)),
        None if decay is None else -rng.exponential(size=shapes[decay]),
    )


def definition(q, k, v, beta, log_decay, state):
    """The outputs and the final state of one head of one sequence."""
    outputs = []
    for t in range(TOKENS):
        state = state if log_decay is None else np.exp(log_decay[t])[:, None] * state
        for key, value, rate in zip(k[t], v[t], beta[t], strict=True):
            state = state + rate * np.outer(key, value - key @ state)
        outputs.append(q[t] @ state)
    return np.array(outputs), state


@pytest.mark.parametrize("decay", [None, "fixed", "scalar", "channel"])
def test_outputs_and_state_are_those_of_the_definition(decay):
    q, k, v, beta, log_decay = arguments(decay)
    before = np.random.default_rng(1).normal(size=(BATCH, HEADS, ROWS, COLUMNS))
    with jax.enable_x64(True):
        exact = (None if x is None else jnp.asarray(x) for x in (q, k, v, beta, log_decay))
        outputs, state = gated_delta_product(*exact, initial_state=jnp.asarray(before))
    per_token = (
        None if log_decay is None else np.broadcast_to(log_decay, (BATCH, TOKENS, HEADS, log_decay.shape[-1]))
    )
    for b in range(BATCH):
        for h in range(HEADS):
            decays = None if per_token is None else per_token[b, :, h]
            args = (q[b, :, h], k[b, :, :, h], v[b, :, :, h], beta[b, :, :, h], decays)
            expected, last = definition(*args, before[b, h])
            np.testing.assert_allclose(outputs[b, :, h], expected, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(state[b, h], last, rtol=1e-9, atol=1e-9)


def test_one_step_is_the_gated_delta_rule():
    q, k, v, beta, log_decay = (jnp.asarray(x, jnp.float32) for x in arguments("scalar"))
    once = gated_delta_product(q, k[:, :, :1], v[:, :, :1], beta[:, :, :1], log_decay)
    for one, other in zip(
        once, gated_delta_rule(q, k[:, :, 0], v[:, :, 0], beta[:, :, 0], log_decay), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_keys_without_steps_are_refused(without_shape_checker):
    q, k, v, beta = (jnp.asarray(x, jnp.float32) for x in arguments(None)[:4])
    with pytest.raises(ValueError, match=r"k \(2, 7, 2, 4\).* must be \[B, T, N, H, …\]"):
        gated_delta_product(q, k[:, :, 0], v, beta)
