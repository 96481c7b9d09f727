"""Compiled quickly rather than well, which saves a third of the time; `tests/parity` compiles models well."""

import jax
import pytest


@pytest.fixture(autouse=True)
def quickly_compiled():
    """No test here runs a program long enough to gain by more."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)
