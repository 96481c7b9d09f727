"""The Mosaic GPU kernels: interpreted, against the recurrence; and lowered for a GPU, on a machine without one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

from sandbox.scans import RULES
from sandbox.scans.drivers.layout import initial_states
from sandbox.scans.drivers.pallas_mosaic_gpu import run_pallas_mosaic_gpu
from sandbox.scans.drivers.recurrent import run_recurrent
from sandbox.scans.examples import draw_batch

H100 = AbstractMesh(
    (), (), abstract_device=AbstractDevice(device_kind="NVIDIA H100", num_cores=None, platform="gpu")
)

KINDS = [(name, kind) for name in ("diagonal_scan", "wkv4") for kind in RULES[name].examples]


def draw(name, kind, *, tokens=7, rows=3, columns=6, dtype="float32"):
    """A state and inputs of two sequences with two heads, of numbers that every rule here can take."""
    sizes = {"batch": 2, "tokens": tokens, "heads": 2, "rows": rows, "columns": columns}
    rng = np.random.default_rng(0)

    def between_zero_and_one(shapes, dtype):
        return jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(size=leaf.shape), dtype), shapes)

    inputs = jax.eval_shape(lambda: draw_batch(RULES[name].examples[kind], jax.random.key(0), **sizes))
    state = jax.eval_shape(functools.partial(initial_states, RULES[name]), inputs)
    return between_zero_and_one(state, "float32"), between_zero_and_one(inputs, dtype)


def values_and_gradients(driver, rule, state, inputs):
    dtype = jax.tree.leaves(inputs)[0].dtype
    results, pullback = jax.vjp(lambda *of: driver(rule, *of, dtype=dtype, chunk_size=4), state, inputs)
    cotangents = jax.tree.map(
        lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape).astype(leaf.dtype), results
    )
    return results, pullback(cotangents)


def assert_agree(rule, state, inputs, *, tolerance=1e-5, over_population=False):
    expected, found = (
        functools.partial(values_and_gradients, driver, rule)
        for driver in (run_recurrent, functools.partial(run_pallas_mosaic_gpu, interpret=True))
    )
    if over_population:
        expected, found = jax.vmap(expected), jax.vmap(found)
    expected, found = jax.jit(expected)(state, inputs), jax.jit(found)(state, inputs)
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert one.dtype == other.dtype
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        assert np.linalg.norm(one - other) <= tolerance * np.linalg.norm(one)


def test_values_and_gradients_are_those_of_the_recurrence():
    assert_agree(RULES["wkv4"], *draw("wkv4", "fixed w and u"))


def test_inputs_that_all_sequences_share_and_more_channels_than_a_program_has():
    state, inputs = draw("diagonal_scan", "complex", columns=70)
    assert_agree(RULES["diagonal_scan"], state, inputs._replace(a=inputs.a[:1], x_imag=inputs.x_imag[:1]))


def test_bfloat16():
    state, inputs = draw("diagonal_scan", "real, fixed decay", dtype="bfloat16")
    assert_agree(RULES["diagonal_scan"], state, inputs, tolerance=2e-2)


def test_a_population_of_single_tokens():
    one = draw("wkv4", "fixed w and u", tokens=1)
    state, inputs = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), one)
    assert_agree(RULES["wkv4"], state, inputs, over_population=True)


@pytest.mark.parametrize(
    ("name", "kind", "dtype"), [*((*of, "float32") for of in KINDS), ("diagonal_scan", "real", "bfloat16")]
)
def test_both_passes_lower_without_a_gpu(name, kind, dtype):
    state, inputs = draw(name, kind, dtype=dtype)
    run = functools.partial(values_and_gradients, run_pallas_mosaic_gpu, RULES[name])
    with jax.sharding.use_abstract_mesh(H100):
        program = jax.jit(run).trace(state, inputs).lower(lowering_platforms=("cuda",)).as_text()
    assert program.count("@mosaic_gpu_v2") == 2


@pytest.mark.parametrize(
    ("name", "kind", "rows", "reason"),
    [
        ("gated_linear_attention", "no decay", 3, "keeps one row for every channel, and the state has 3"),
        ("gated_linear_attention", "no decay", 1, "treats every channel by itself, and the rule does not"),
        ("selective_scan", "fixed A", 1, "treats every channel by itself, and the rule does not"),
    ],
)
def test_other_rules_are_refused_with_the_reason(name, kind, rows, reason):
    with pytest.raises(NotImplementedError, match=f"{name}: a Mosaic GPU kernel {reason}"):
        run_pallas_mosaic_gpu(RULES[name], *draw(name, kind, rows=rows), dtype=jnp.float32)


def test_float64_is_refused():
    with jax.enable_x64(True):
        state, inputs = draw("diagonal_scan", "real", dtype="float64")
        with pytest.raises(NotImplementedError, match="an input of diagonal_scan is float64"):
            run_pallas_mosaic_gpu(RULES["diagonal_scan"], state, inputs, dtype=jnp.float64)
