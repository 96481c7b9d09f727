"""The public functions with a matrix state against their papers: outputs, final state and every gradient."""

import functools

import definitions_matrix
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agrees, relative_errors
from hard_inputs import harden
from scan_arguments import CHUNK, EXAMPLES, KINDS, LONG, draw

from sandbox import scans
from sandbox.scans.rules.parts.algebra import unit_lower_inverse

FUNCTIONS = [name for name in KINDS if hasattr(definitions_matrix, name)]


def assert_is_its_definition(function, fixtures):
    run = functools.partial(getattr(scans, function), chunk_size=CHUNK)
    assert_agrees(run, getattr(definitions_matrix, function), fixtures)


@pytest.mark.parametrize(("function", "kind"), [(name, kind) for name in FUNCTIONS for kind in KINDS[name]])
def test_hard_inputs(function, kind):
    assert_is_its_definition(function, harden(function, draw(function, kind, LONG)))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_token(function):
    assert_is_its_definition(function, {"as drawn": draw(function, EXAMPLES[function], tokens=1)})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_initial_state_is_an_empty_one(function):
    arguments = draw(function, EXAMPLES[function], tokens=CHUNK)
    del arguments["initial_state"]
    assert_is_its_definition(function, {"as drawn": arguments})


def test_the_inverse_is_exact_where_keys_repeat():
    """The case in which a product of powers of the triangle loses every digit."""
    size = 64
    keys = np.eye(4)[np.arange(size) % 4]
    lower = np.tril(-1.9 * keys @ keys.T, -1)
    expected = np.linalg.inv(np.eye(size) - lower)
    assert np.all(relative_errors(expected, unit_lower_inverse(jnp.asarray(lower, jnp.float32))) < 1e-5)
