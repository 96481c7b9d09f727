"""An empty state at the sizes of real batches, where XLA's CPU compiler fuses wrongly if it is let."""

import subprocess
import sys

import pytest

PROGRAM = """
import jax
jax.block_until_ready(jax.jit(lambda x: x + 1)(1.0))  # compiles before the package can set any flag
import jax.numpy as jnp
from sandbox.scans import gated_delta_rule, gated_linear_attention

keys = jax.random.split(jax.random.key(0), 5)
for batch, rows in ((64, 32), (128, 33), (256, 32)):
    shapes = [(batch, 64, 1, width) for width in (rows, rows, 64, 1)]
    q, k, v, gate = (jax.random.normal(key, shape) for key, shape in zip(keys, shapes))
    k = k / jnp.linalg.norm(k, axis=-1, keepdims=True)
    decay, beta = -jax.nn.softplus(gate - 3), jax.nn.sigmoid(gate[..., 0])
    cases = {
        "no decay": lambda form: gated_linear_attention(q, k, v, implementation=form),
        "scalar decay": lambda form: gated_linear_attention(q, k, v, decay, implementation=form, chunk_size=64),
        "delta": lambda form: gated_delta_rule(q, k, v, beta, implementation=form, chunk_size=64),
        "delta, decay": lambda form: gated_delta_rule(q, k, v, beta, decay, implementation=form, chunk_size=64),
    }
    for name, run in cases.items():
        (one, _), (other, _) = (jax.jit(run, static_argnums=0)(form) for form in ("recurrent", "chunked"))
        error = jnp.linalg.norm(one - other) / jnp.linalg.norm(one)
        assert error < 1e-5, (name, batch, rows, error)
"""


@pytest.mark.parametrize(
    "flags", ["", "--xla_cpu_experimental_ynn_fusion_type="], ids=["as jax comes", "no fusion"]
)
def test_chunked_equals_recurrent_at_large_batches(flags):
    environment = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
