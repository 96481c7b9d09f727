"""Several sequences in one row: each segment is what the definition makes of it alone, gradients included."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import in_precision, quickly_compiled, relative_errors, values_and_gradients
from hard_inputs import HARD_INPUTS
from scan_arguments import B, H, K, draw

from sandbox import scans
from sandbox.scans import RULES, Rule, run_rule
from sandbox.scans.check import TOLERANCES
from sandbox.target import interpreted_kernels

CHUNK = 16
LENGTHS = ((5, 1, 10, 16, 5), (1, 35, 1))
"""Of the segments of two rows: they end at an edge of a chunk and off it, and after a single token."""

IDS = np.stack([np.repeat(7 * (np.arange(len(row)) % 2), row) for row in LENGTHS])
"""Two numbers that take turns, so that each comes back."""

TOKENS = IDS.shape[1]

CASES = {
    "gated_linear_attention": ("[H, 1]", None),
    "gated_linear_attention, bonus": ("[B, T, H, K], bonus", "keeps some and loses others"),
    "gated_delta_rule": ("[B, T, H, K]", "keeps some and loses others"),
    "gated_delta_product": ("[B, T, H, 1]", None),
    "generalized_delta_rule": ("[B, T, H, 1]", "keeps some and loses others"),
    "mlstm": ("gates", "forget gates far below the smallest float32"),
    "momentum_delta_rule": ("gates", "keeps some and loses others of both"),
    "diagonal_scan": ("complex fixed decay, real input", None),
    "selective_scan": ("fixed A", "keeps some numbers and loses others"),
    "wkv4": ("fixed w and u", "keeps some and loses others"),
}
"""The kind of arguments, and the name of the change that makes them hard."""

DRIVERS = {
    "recurrent": ("recurrent", None),
    "steps": ("steps", None),
    "chunked": ("chunked", None),
    "kernels for GPUs": ("pallas", "gpu"),
    "kernels for TPUs": ("pallas", "tpu"),
}

SAME = {(name, "chunked") for name, rule in RULES.items() if rule.chunk is None}
SAME |= {("gated_delta_product", driver) for driver in DRIVERS if driver not in ("recurrent", "chunked")}
"""Cases that another one covers: loops run by steps, and the product is the gated delta rule."""

IN_CHUNKS = ("gated_linear_attention", "gated_linear_attention, bonus", "generalized_delta_rule", "mlstm")

RUNS = [(case, driver) for case in CASES for driver in DRIVERS if (case, driver) not in SAME]


def arguments_of(case, tokens=TOKENS):
    """The function of a case, and its arguments in float32."""
    name, (kind, change) = case.split(",")[0], CASES[case]
    if name == "gated_delta_product":
        return scans.gated_delta_product, in_precision(two_steps_per_token(kind, tokens), np.float32)
    arguments = draw(name, kind, tokens)
    if change is not None:
        arguments = HARD_INPUTS[name][change](arguments)
    return getattr(scans, name), in_precision(arguments, np.float32)


def two_steps_per_token(kind, tokens):
    """Arguments of `gated_delta_product`, from those of the rule with twice the tokens."""
    arguments = draw("gated_delta_rule", kind, 2 * tokens)
    for name in ("k", "v", "beta"):
        arguments[name] = arguments[name].reshape(B, tokens, 2, *arguments[name].shape[2:])
    return arguments | {name: arguments[name][:, :tokens] for name in ("q", "log_decay")}


def each_alone(run, arguments):
    """The definition over one segment after the other; only the first one has the initial state."""
    tokens = [name for name, leaf in arguments.items() if name != "initial_state" and leaf.shape[1:2] == (TOKENS,)]
    rows = []
    for row, lengths in enumerate(LENGTHS):
        of_row = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1] if leaf.shape[0] == B else leaf, arguments)
        outputs, state, first = [], of_row.pop("initial_state"), 0
        for length in lengths:
            part = of_row | {name: of_row[name][:, first : first + length] for name in tokens}
            output, final_state = run(**part, initial_state=state, implementation="recurrent")
            outputs.append(output)
            state, first = None, first + length
        rows.append((jnp.concatenate(outputs, axis=1), final_state))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *rows)


@functools.cache
def expected_of(case):
    """Outputs, final state and every gradient in float64."""
    run, arguments = arguments_of(case)
    with jax.enable_x64(True):
        exact = in_precision(arguments, np.float64)
        alone = quickly_compiled(lambda exact: values_and_gradients(lambda **a: each_alone(run, a), exact))
        return jax.tree.map(np.asarray, alone(exact))


def problems(expected, found, tolerance):
    return [
        f"{name}: relative RMS error {error:.1e}"
        for name in expected
        for error in relative_errors(expected[name][None], found[name][None])
        if not error <= tolerance
    ]


@pytest.mark.parametrize(("case", "driver"), RUNS)
def test_segments_of_a_row_are_those_alone(case, driver):
    run, arguments = arguments_of(case)
    implementation, platform = DRIVERS[driver]
    options = {"segment_ids": jnp.asarray(IDS), "implementation": implementation, "chunk_size": CHUNK}

    def found():
        in_one_row = functools.partial(values_and_gradients, functools.partial(run, **options))
        return quickly_compiled(in_one_row)(arguments)

    if platform is None:
        values = found()
    else:
        with interpreted_kernels(platform):
            values = found()
    assert not problems(expected_of(case), values, TOLERANCES["float32"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", IN_CHUNKS)
def test_every_token_may_start_anew(case, dtype):
    """In chunks as long as users have, where the sum of so many log decays is far below -1e30."""
    run, arguments = arguments_of(case, tokens=257)
    arguments = {name: leaf.astype(dtype) for name, leaf in arguments.items() if name != "initial_state"}

    def of_every_token(**arguments):
        alone = {
            name: leaf.reshape(-1, 1, *leaf.shape[2:]) if leaf.shape[1:2] == (257,) else leaf
            for name, leaf in arguments.items()
        }
        outputs, _ = run(**alone)
        return outputs.reshape(B, 257, *outputs.shape[2:]), None

    def in_one_row(**arguments):
        ids = jnp.broadcast_to(jnp.arange(257), (B, 257))
        return run(**arguments, segment_ids=ids, implementation="chunked")[0], None

    expected, found = (
        quickly_compiled(functools.partial(values_and_gradients, form))(arguments)
        for form in (of_every_token, in_one_row)
    )
    assert not problems(expected, found, TOLERANCES[dtype])


def test_a_token_alone_continues_the_row():
    run, arguments = arguments_of("gated_delta_rule", tokens=1)
    expected, found = run(**arguments), run(**arguments, segment_ids=jnp.full((B, 1), 3))
    jax.tree.map(np.testing.assert_array_equal, expected, found)


@pytest.mark.parametrize("case", ["gated_delta_rule", "gated_delta_product", "diagonal_scan", "wkv4"])
def test_wrong_ids_are_refused(case, without_shape_checker):
    run, arguments = arguments_of(case, tokens=5)
    for ids, message in (
        (np.zeros((2, 6), int), r"segment_ids has shape \(2, 6\), expected \[B, T\] = \(2, 5\)"),
        (np.zeros((1, 5), int), r"segment_ids has shape \(1, 5\), expected \[B, T\] = \(2, 5\)"),
        (np.zeros((2, 5)), "segment_ids has dtype float64, expected integers"),
        (np.full((2, 5), 2**32), "segment_ids go from 4294967296 to 4294967296, and JAX keeps 32 bits of them"),
        ([0, 1], r"segment_ids is \[0, 1\], expected an array of integers \[B, T\] = \(2, 5\)"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            run(**arguments, segment_ids=ids)


def test_a_rule_that_does_not_know_of_segments_says_so():
    class Inputs(NamedTuple):
        v: jax.Array

    rule = Rule("sums", lambda state, x: (state + x.v, state + x.v), lambda x: jnp.zeros_like(x.v), examples={})
    inputs = Inputs(jnp.ones((B, 5, H, K)))
    with pytest.raises(NotImplementedError, match="segment_ids: sums has no input `starts`, to start anew"):
        run_rule(rule, inputs, dtype=jnp.float32, segment_ids=jnp.zeros((B, 5), int))
