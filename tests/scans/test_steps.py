"""What the driver by steps keeps from the forward pass for the backward pass, and its chunk sizes."""

import jax
import jax.numpy as jnp
import pytest

from sandbox.scans import RULES, draw_batch
from sandbox.scans.check import check_rule
from sandbox.scans.drivers import steps
from sandbox.scans.drivers.steps import run_steps
from sandbox.scans.layout import initial_states

TOKENS = 256


@pytest.mark.parametrize("tokens_per_state", [1, 16])
def test_small_states_are_all_kept_and_others_every_sixteenth(tokens_per_state, monkeypatch):
    rule = RULES["selective_scan"]
    sizes = {"batch": 2, "tokens": TOKENS, "heads": 1, "rows": 16, "columns": 40}
    inputs = draw_batch(rule.examples["fixed A"], jax.random.key(0), **sizes)
    state = initial_states(rule, inputs)
    monkeypatch.setattr(steps, "KEPT_BYTES", TOKENS * state.nbytes - (tokens_per_state > 1))

    def loss(inputs):
        return jnp.sum(run_steps(rule, state, inputs, dtype=jnp.float32)[0])

    memory = jax.jit(jax.grad(loss)).lower(inputs).compile().memory_analysis()
    states = (memory.temp_size_in_bytes - sum(leaf.nbytes for leaf in jax.tree.leaves(inputs))) / state.nbytes
    kept = TOKENS // tokens_per_state + (tokens_per_state if tokens_per_state > 1 else 0)
    assert kept < states < kept + 24


@pytest.mark.slow(seconds=5)
def test_a_loop_over_steps_takes_any_chunk_size():
    """A last chunk that is shorter, one chunk only, and one token per chunk."""
    check_rule(RULES["wkv4"], implementations=["steps"], chunk_size=4, lengths=[3, 8, 13])
    check_rule(RULES["wkv4"], implementations=["steps"], chunk_size=1, lengths=[1, 5])
    check_rule(RULES["selective_scan"], implementations=["steps"], chunk_size=1, lengths=[7])
