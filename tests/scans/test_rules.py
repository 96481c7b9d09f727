"""Every driver of every rule against its step in float64: outputs, final state and every gradient."""

import dataclasses
import functools

import jax
import pytest
from hard_inputs import HARD_INPUTS, hard_fixture

from sandbox.scans import RULES
from sandbox.scans.check import CHECKED, check_rule, differences, reference, values_and_gradients
from sandbox.scans.drivers import chunked

CHUNK = 16

by_every_rule = pytest.mark.parametrize("rule", RULES)


def richest_kind(rule):
    """The example with the most inputs, and of those the last."""
    return max(reversed(RULES[rule].examples), key=lambda kind: number_of_inputs(rule, kind))


def number_of_inputs(rule, kind):
    return len(jax.tree.leaves(jax.eval_shape(lambda: RULES[rule].examples[kind](jax.random.key(0), 2, 3, 4))))


def test_every_rule_has_hard_inputs():
    assert HARD_INPUTS.keys() == RULES.keys()


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize(
    ("rule", "implementation"),
    [(rule, name) for rule in RULES for name in CHECKED if RULES[rule].chunk or name != "chunked"],
)
def test_hard_inputs(rule, implementation):
    for kind in RULES[rule].examples:
        fixture, names = hard_fixture(rule, kind, tokens=2 * CHUNK + 5)
        found = values_and_gradients(RULES[rule], fixture, implementation, chunk_size=CHUNK)
        problems = differences(expected_of_hard_inputs(rule, kind), found, "float32", names)
        assert not problems, "\n".join([kind, *problems])


@pytest.mark.parametrize("rule", ["gated_linear_attention", "generalized_delta_rule", "mlstm"])
def test_large_inputs_are_taken_chunk_by_chunk(rule, monkeypatch):
    """The other tests have inputs so small that all chunks are prepared at once."""
    monkeypatch.setattr(chunked, "SMALL", 0)
    arguments = {"implementations": ["chunked"], "lengths": [2 * CHUNK + 5], "chunk_size": CHUNK}
    check_rule(RULES[rule], kinds=[richest_kind(rule)], **arguments)


@functools.cache
def expected_of_hard_inputs(rule, kind):
    return reference(RULES[rule], hard_fixture(rule, kind, tokens=2 * CHUNK + 5)[0])


@pytest.mark.slow(seconds=6)
@by_every_rule
def test_bfloat16(rule):
    check_rule(RULES[rule], kinds=[richest_kind(rule)], lengths=[CHUNK + 1], chunk_size=CHUNK, dtype="bfloat16")


@pytest.mark.slow
@by_every_rule
def test_every_length(rule):
    """By every driver that cuts the sequence into chunks."""
    in_xla = "steps" if RULES[rule].chunk is None else "chunked"
    drivers = [in_xla, *(name for name in CHECKED if name.startswith("pallas"))]
    check_rule(RULES[rule], kinds=[richest_kind(rule)], implementations=drivers, chunk_size=CHUNK)


def normalised_step(state, x):
    """Divides the outputs by their norm over all columns."""
    state, outputs = RULES["gated_linear_attention"].step(state, x)
    return state, outputs / jax.numpy.sqrt(1 + jax.numpy.sum(outputs**2))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"chunk": lambda state, x: (state, x.v)}, "chunked, no decay, T=3: outputs: relative RMS error"),
        ({"padding": {"v": 1.0, "k": 1.0}}, "chunk, no decay: a token after the end changes the state"),
        ({"column_inputs": frozenset({"k", "v"})}, "step, no decay: columns mix, of which column_inputs (k, v)"),
        (
            {"step": normalised_step, "chunk": None},
            "step, no decay: columns mix, of which column_inputs (v) and column_states say no",
        ),
    ],
    ids=[
        "a wrong chunk form",
        "padding that is remembered",
        "an input without columns",
        "outputs that mix columns",
    ],
)
def test_what_is_wrong_is_listed(broken, message):
    rule = dataclasses.replace(RULES["gated_linear_attention"], **broken)
    with pytest.raises(AssertionError, match="gated_linear_attention is not what its step says") as error:
        check_rule(rule, kinds=["no decay"], implementations=["chunked"], lengths=[3], chunk_size=4)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": ["typo"]}, r"kinds=\['typo'\] is not among 'no decay', 'scalar decay'"),
        ({"kinds": []}, r"kinds=\[\] is not among 'no decay'"),
        ({"implementations": "chunk"}, r"implementations=\['chunk'\] is not among 'recurrent', 'steps'"),
        ({"dtype": "float16"}, r"dtype=\['float16'\] is not among 'float32', 'bfloat16'"),
        ({"chunk_size": 12}, "chunk_size=12 is not a power of two"),
    ],
)
def test_a_check_of_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_rule(RULES["gated_linear_attention"], **arguments)


def test_a_rule_without_examples_is_refused():
    with pytest.raises(ValueError, match=r"kinds=\[\] is not among none"):
        check_rule(dataclasses.replace(RULES["gated_linear_attention"], examples={}))
