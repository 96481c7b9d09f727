"""An empty state at the size of a real batch, where XLA's CPU compiler fuses wrongly unless it is kept from it.

Each of the two cures in `sandbox/xla_workarounds.py` is tested without the other: `not_a_broadcast` in a process
in which jax compiles before the package can set its flag, and the flag with `not_a_broadcast` replaced.
"""

import subprocess
import sys

import pytest

COMPILE_FIRST = """
import jax
jax.block_until_ready(jax.jit(lambda x: x + 1)(1.0))
"""

LEAVE_THE_STATE_ALONE = """
from sandbox.scans.drivers import chunked
chunked.not_a_broadcast = lambda state: state
"""

# The case that fails on jax 0.10 and 0.12: a decay per head, and 64 sequences or more.
COMPARE = """
import functools
import jax
import jax.numpy as jnp
from sandbox.scans import gated_linear_attention

keys = jax.random.split(jax.random.key(0), 4)
for tokens in (64, 2 * 64, 3 * 64):  # the loop over so few chunks is unrolled
    shapes = [(64, tokens, 1, width) for width in (32, 32, 64, 1)]
    q, k, v, gate = (jax.random.normal(key, shape) for key, shape in zip(keys, shapes))
    one, other = (
        jax.jit(functools.partial(gated_linear_attention, implementation=name, chunk_size=64))(
            q, k, v, -jax.nn.softplus(gate - 3)
        )[0]
        for name in ("recurrent", "chunked")
    )
    error = jnp.linalg.norm(one - other) / jnp.linalg.norm(one)
    assert error < 1e-5, (tokens, error)
"""

MEMORY_HOLDS_LARGE_NUMBERS = {"MALLOC_PERTURB_": "128"}
"""Whoever reads memory before writing it reads 3.4e38 (with glibc), where it might be zero by chance."""


@pytest.mark.slow(seconds=12)
@pytest.mark.parametrize("before", [COMPILE_FIRST, LEAVE_THE_STATE_ALONE], ids=["no flag", "the flag alone"])
def test_chunked_equals_recurrent_at_large_batches(before):
    environment = {"JAX_PLATFORMS": "cpu"} | MEMORY_HOLDS_LARGE_NUMBERS
    program = [sys.executable, "-c", before + COMPARE]
    done = subprocess.run(program, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
