"""diagonal_scan, selective_scan and wkv4 against their papers: outputs, final state and every gradient."""

import functools

import definitions_channelwise
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agrees, in_precision, run_fixtures
from hard_inputs import harden
from scan_arguments import CHUNK, EXAMPLES, KINDS, LONG, B, E, draw

from sandbox import scans

FUNCTIONS = [name for name in KINDS if hasattr(definitions_channelwise, name)]

TOLERANCES = {"keys of hundreds": 5e-5}
"""Exponents of some hundreds have few digits after the point in float32."""


def assert_is_its_definition(function, fixtures):
    run = functools.partial(getattr(scans, function), chunk_size=CHUNK)
    assert_agrees(run, getattr(definitions_channelwise, function), fixtures, TOLERANCES)


def harder(function, arguments):
    """Hard inputs, with those that only a public function can have or that need their own tolerance."""
    fixtures = harden(function, arguments)
    if function == "diagonal_scan":
        fixtures["turns and forgets nothing"] = arguments | {"a": arguments["a"] / abs(arguments["a"])}
        fixtures["turns and forgets within a token"] = fixtures["turns and forgets nothing"] | {
            "a": np.exp(-20) * arguments["a"] / abs(arguments["a"])
        }
    if function == "wkv4":
        fixtures["keys of hundreds"] = arguments | {"k": 60.0 * arguments["k"]}
    return fixtures


@pytest.mark.parametrize(("function", "kind"), [(name, kind) for name in FUNCTIONS for kind in KINDS[name]])
def test_hard_inputs(function, kind):
    assert_is_its_definition(function, harder(function, draw(function, kind, LONG)))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_token(function):
    assert_is_its_definition(function, {"as drawn": draw(function, EXAMPLES[function], tokens=1)})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_initial_state_is_an_empty_one(function):
    arguments = draw(function, EXAMPLES[function], tokens=CHUNK)
    del arguments["initial_state"]
    assert_is_its_definition(function, {"as drawn": arguments})


@pytest.mark.parametrize("implementation", ["recurrent", "chunked"])
def test_wkv4_is_finite_for_keys_of_any_size(implementation):
    arguments = draw("wkv4", "fixed w and u")
    fixtures = [{**arguments, "k": size * arguments["k"]} for size in (1e6, 1e30)]
    fixtures = in_precision(jax.tree.map(lambda *leaves: np.stack(leaves), *fixtures), np.float32)
    run = functools.partial(scans.wkv4, implementation=implementation, chunk_size=CHUNK)
    for name, leaf in run_fixtures(run, fixtures).items():
        assert np.all(np.isfinite(leaf)), name


def test_any_axes_after_time_are_channels():
    a, x, state = (jnp.asarray(leaf, np.float32) for leaf in draw("diagonal_scan", "real").values())
    flat, _ = scans.diagonal_scan(a, x, initial_state=state)
    shape = (B, LONG, 2, E // 2)
    split, final_state = scans.diagonal_scan(
        a.reshape(shape), x.reshape(shape), initial_state=state.reshape(B, 2, E // 2)
    )
    np.testing.assert_array_equal(flat, split.reshape(flat.shape))
    np.testing.assert_array_equal(split[:, -1], final_state)


def sizes(program):
    for equation in program.eqns:
        yield from (variable.aval.size for variable in equation.outvars)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from sizes(inner)


def test_selective_scan_keeps_no_state_for_every_token():
    tokens, channels, numbers = 16 * CHUNK, 16, 8
    shapes = {"x": (1, tokens, channels), "dt": (1, tokens, channels), "A": (channels, numbers)}
    shapes |= {"Bm": (1, tokens, numbers), "Cm": (1, tokens, numbers)}
    arguments = {name: jnp.ones(shape) for name, shape in shapes.items()}

    def loss(arguments):
        return scans.selective_scan(**arguments, implementation="chunked", chunk_size=CHUNK)[0].sum()

    program = jax.make_jaxpr(jax.grad(loss))(arguments)
    assert max(sizes(program.jaxpr)) < tokens * channels * numbers / 4
