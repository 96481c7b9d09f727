"""Compiles with few optimizations, which saves a third of the time; `tests/parity` compiles with all."""

import jax
import pytest


@pytest.fixture(autouse=True)
def quickly_compiled():
    """Programs here are too short to gain from optimization."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)
