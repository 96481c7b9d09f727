"""What the chunked driver keeps from the forward pass for the backward pass."""

import jax
import jax.numpy as jnp
import pytest

from sandbox.scans import RULES, draw_batch
from sandbox.scans.drivers import chunked
from sandbox.scans.drivers.chunked import LARGEST_CHUNK_KEPT, run_chunked
from sandbox.scans.layout import initial_states


def kept_shapes(rule, kind, size):
    """Shapes that the scan of the forward pass stacks, a chunk at a time, for the gradient of all outputs."""
    sizes = {"batch": 2, "tokens": 3 * size, "heads": 1, "rows": 24, "columns": 40}
    inputs = jax.eval_shape(lambda: draw_batch(rule.examples[kind], jax.random.key(0), **sizes))

    def loss(inputs):
        state = initial_states(rule, inputs)
        return jnp.sum(run_chunked(rule, state, inputs, dtype=jnp.float32, chunk_size=size)[0])

    forward = next(eqn for eqn in jax.make_jaxpr(jax.grad(loss))(inputs).eqns if eqn.primitive.name == "scan")
    return [variable.aval.shape for variable in forward.outvars]


@pytest.mark.parametrize("rule", ["gated_linear_attention", "gated_delta_rule", "generalized_delta_rule"])
@pytest.mark.parametrize("kind", ["scalar decay", "channel decay"])
def test_products_of_tokens_with_one_another_are_kept_in_short_chunks_alone(rule, kind, monkeypatch):
    monkeypatch.setattr(chunked, "SMALL", 0)
    for size in (LARGEST_CHUNK_KEPT, 2 * LARGEST_CHUNK_KEPT):
        products = (3, 2, 1, size, size)
        assert (products in kept_shapes(RULES[rule], kind, size)) == (size <= LARGEST_CHUNK_KEPT)
