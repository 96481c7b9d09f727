"""The delta rule multiplies up what remains of each token, so that equal errors of all tokens would grow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sandbox.scans import gated_delta_rule
from sandbox.scans.check import TOLERANCES
from sandbox.scans.rms_error import relative_rms_errors

BATCH, TOKENS, ROWS = 4, 256, 64

DECAYS = pytest.mark.parametrize("decay", [None, (1,), (ROWS,)], ids=["no decay", "scalar decay", "channel decay"])


@pytest.mark.slow(seconds=4)
@DECAYS
def test_one_key_that_is_overshot_for_256_tokens(decay):
    """With β = 1.99: 1 - β k·k = -0.99, whose sign never settles. Its 256th power is 0.08."""
    assert_chunks_are_exact(tokens_of_one_key=TOKENS, norm=1.0, beta=1.99, decay=decay)


@pytest.mark.slow(seconds=4)
@DECAYS
def test_keys_of_small_norm(decay):
    assert_chunks_are_exact(tokens_of_one_key=1, norm=1e-6, beta=1e12, decay=decay)


def assert_chunks_are_exact(tokens_of_one_key, norm, beta, decay):
    draw = np.random.default_rng(0).normal
    keys = draw(size=(BATCH, TOKENS // tokens_of_one_key, 1, ROWS))
    keys *= norm / np.linalg.norm(keys, axis=-1, keepdims=True)
    arguments = {
        "q": draw(size=(BATCH, TOKENS, 1, ROWS)),
        "k": np.repeat(keys, tokens_of_one_key, axis=1),
        "v": draw(size=(BATCH, TOKENS, 1, ROWS)),
        "beta": np.full((BATCH, TOKENS, 1), beta),
        "log_decay": None if decay is None else np.zeros((BATCH, TOKENS, 1, *decay)),
    }
    given = jax.tree.map(np.float32, arguments)
    found = gated_delta_rule(**jax.tree.map(jnp.asarray, given), implementation="chunked")
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), given)
        expected = gated_delta_rule(**exact, implementation="recurrent")
    for one, other in zip(expected, found, strict=True):
        assert np.max(relative_rms_errors(np.asarray(one), np.asarray(other))) < TOLERANCES["float32"]
