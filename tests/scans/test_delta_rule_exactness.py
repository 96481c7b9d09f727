"""The delta rule multiplies up what remains of each token, so that equal errors of all tokens would grow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sandbox.scans import gated_delta_rule
from sandbox.scans.check import TOLERANCES
from sandbox.scans.rms_error import relative_rms_errors

BATCH, TOKENS, ROWS = 4, 256, 64


@pytest.mark.slow(seconds=4)
@pytest.mark.parametrize("decay", [None, (1,), (ROWS,)], ids=["no decay", "scalar decay", "channel decay"])
def test_one_key_that_is_overshot_for_256_tokens(decay):
    """By chunks, with β = 1.99: 1 - β k·k = -0.99, whose sign never settles. Its 256th power is 0.08."""
    draw = np.random.default_rng(0).normal
    key = draw(size=(BATCH, 1, 1, ROWS))
    arguments = {
        "q": draw(size=(BATCH, TOKENS, 1, ROWS)),
        "k": np.broadcast_to(key / np.linalg.norm(key, axis=-1, keepdims=True), (BATCH, TOKENS, 1, ROWS)),
        "v": draw(size=(BATCH, TOKENS, 1, ROWS)),
        "beta": np.full((BATCH, TOKENS, 1), 1.99),
        "log_decay": None if decay is None else np.zeros((BATCH, TOKENS, 1, *decay)),
    }
    given = jax.tree.map(np.float32, arguments)
    found = gated_delta_rule(**jax.tree.map(jnp.asarray, given), implementation="chunked")
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), given)
        expected = gated_delta_rule(**exact, implementation="recurrent")
    for one, other in zip(expected, found, strict=True):
        assert np.max(relative_rms_errors(np.asarray(one), np.asarray(other))) < TOLERANCES["float32"]
