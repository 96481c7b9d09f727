"""A public function against its definition in float64: outputs, final state and the gradient of every argument.

Fixtures lie along a new first axis that the function is mapped over, so that one compiled program runs them all.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sandbox.scans.check import QUICKLY_COMPILED, TOLERANCES
from sandbox.scans.rms_error import relative_rms_errors

quickly_compiled = functools.partial(jax.jit, compiler_options=QUICKLY_COMPILED)
"""`jax.jit` for programs that run once."""


def in_precision(arguments, floating):
    """The arguments as jax arrays of this precision, complex ones as complex numbers of it."""
    complex_floating = np.result_type(floating, np.complex64)
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, complex_floating if np.iscomplexobj(leaf) else floating), arguments
    )


def values_and_gradients(run, arguments):
    """One array for every leaf, by name. Every element of an output has a different weight."""

    def weights(value):
        count = np.arange(value.size).reshape(value.shape)
        numbers = np.cos(count) + (1j * np.sin(count) if jnp.iscomplexobj(value) else 0.0)
        return jnp.asarray(numbers, value.dtype)

    results, pullback = jax.vjp(lambda arguments: run(**arguments), arguments)
    (gradients,) = pullback(jax.tree.map(weights, results))
    named = {"outputs": results[0], "final state": results[1]}
    named |= {f"gradient of {name}": gradient for name, gradient in gradients.items()}
    return {
        f"{name} {number}" if number else name: leaf
        for name, tree in named.items()
        for number, leaf in enumerate(jax.tree.leaves(tree))
    }


def run_fixtures(run, arguments):
    """`values_and_gradients` of every fixture."""
    of_one = functools.partial(values_and_gradients, run)
    return quickly_compiled(jax.vmap(of_one))(arguments)


def relative_errors(expected, found):
    """The relative RMS error of every entry of the first axis; a complex number counts as two real ones."""
    expected, found = (np.stack([np.real(array), np.imag(array)], axis=-1) for array in (expected, found))
    return relative_rms_errors(expected, found)


def assert_agrees(run, definition, fixtures, tolerances=None):
    """Compares every tensor of every fixture, a dictionary of arguments, within 1e-5 or `tolerances` by name."""
    arguments = in_precision(jax.tree.map(lambda *leaves: np.stack(leaves), *fixtures.values()), np.float32)
    with jax.enable_x64(True):
        expected = run_fixtures(definition, in_precision(arguments, np.float64))
    problems = []
    for implementation in ("recurrent", "chunked"):
        found = run_fixtures(functools.partial(run, implementation=implementation), arguments)
        assert found.keys() == expected.keys()
        for tensor in expected:
            for name, error in zip(fixtures, relative_errors(expected[tensor], found[tensor]), strict=True):
                tolerance = (tolerances or {}).get(name, TOLERANCES["float32"])
                if not error <= tolerance:
                    problems.append(f"{implementation}, {name}: {tensor}: {error:.1e} > {tolerance:.0e}")
    assert not problems, "\n".join(problems)
