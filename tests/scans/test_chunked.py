"""What the chunked driver keeps from the forward pass for the backward pass, and the loop over steps."""

import jax
import jax.numpy as jnp
import pytest

from sandbox.scans import RULES, draw_batch
from sandbox.scans.check import check_rule
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


def test_rules_without_a_chunk_form_keep_states_at_chunk_starts_only():
    rule, tokens, chunk = RULES["selective_scan"], 256, 16
    sizes = {"batch": 2, "tokens": tokens, "heads": 1, "rows": 16, "columns": 40}
    inputs = draw_batch(rule.examples["fixed A"], jax.random.key(0), **sizes)
    state = initial_states(rule, inputs)

    def loss(inputs):
        return jnp.sum(run_chunked(rule, state, inputs, dtype=jnp.float32, chunk_size=chunk)[0])

    memory = jax.jit(jax.grad(loss)).lower(inputs).compile().memory_analysis()
    copies_of_inputs = 3 * sum(leaf.nbytes for leaf in inputs)
    assert memory.temp_size_in_bytes < (tokens // chunk + chunk + 8) * state.nbytes + copies_of_inputs


@pytest.mark.slow(seconds=5)
def test_a_loop_over_steps_takes_any_chunk_size():
    """A last chunk that is shorter, one chunk only, and one token per chunk."""
    check_rule(RULES["wkv4"], implementations=["chunked"], chunk_size=4, lengths=[3, 8, 13])
    check_rule(RULES["wkv4"], implementations=["chunked"], chunk_size=1, lengths=[1, 5])
