"""Every implementation of every rule against its float64 definition: outputs, final state, every gradient."""

import dataclasses
import itertools

import pytest
from float64_definitions import DEFINITIONS
from scan_cases import DECAY_KINDS, LENGTHS, RULES_WITH_BONUS, Case, assert_agrees

from sandbox.scans import IMPLEMENTATIONS, RULES


def cases(**options):
    """The product of the given options, by name, over every rule; a bonus only where there is one."""
    every_case = [
        Case(rule, **dict(zip(options, values, strict=True)))
        for rule in RULES
        for values in itertools.product(*options.values())
    ]
    return [case for case in every_case if not case.bonus or case.rule in RULES_WITH_BONUS]


KINDS = cases(decay=DECAY_KINDS, bonus=[False, True])

HARD_FIXTURES = {
    "forgets within a token": {"log_decays": (-20.0,)},
    "far below the smallest float32": {"log_decays": (-200.0,)},
    "keeps some tokens and loses others": {"log_decays": (0.0, -1e-4, -20.0, -200.0)},
    "one key": {"distinct_keys": 1},
    "four keys, kept for ever": {"distinct_keys": 4, "log_decays": (0.0,)},
    "one key, beta near one": {"distinct_keys": 1, "beta": 0.999, "log_decays": (0.0, -0.01)},
    "one key, beta near two": {"distinct_keys": 1, "beta": 1.99, "log_decays": (0.0, -0.01)},
    "four keys, beta near two": {"distinct_keys": 4, "beta": 1.99, "log_decays": (0.0,)},
}


def hard_cases():
    """Every kind with every fixture that means something for it."""
    parameters = []
    for case, (name, options) in itertools.product(KINDS, HARD_FIXTURES.items()):
        beta_of_another_rule = "beta" in options and case.rule != "gated_delta_rule"
        decay_of_another_kind = options.keys() == {"log_decays"} and case.decay == "none"
        if not beta_of_another_rule and not decay_of_another_kind:
            parameters.append(pytest.param(dataclasses.replace(case, **options), id=f"{case}: {name}"))
    return parameters


by_every_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


def test_every_rule_has_a_definition():
    assert DEFINITIONS.keys() == RULES.keys()


@by_every_implementation
@pytest.mark.parametrize("case", KINDS, ids=str)
def test_decay_kinds(case, implementation):
    assert_agrees(case, implementation)


@by_every_implementation
@pytest.mark.parametrize("case", hard_cases())
def test_hard_decays_and_repeated_keys(case, implementation):
    assert_agrees(case, implementation)


@by_every_implementation
@pytest.mark.parametrize("case", cases(num_tokens=LENGTHS[:-1], heads=[1], initial_state=[False]), ids=str)
def test_lengths(case, implementation):
    assert_agrees(case, implementation)


@by_every_implementation
@pytest.mark.parametrize("case", cases(dtype=["bfloat16"]), ids=str)
def test_bfloat16(case, implementation):
    assert_agrees(case, implementation)


@pytest.mark.slow
@by_every_implementation
@pytest.mark.parametrize(
    "case",
    [
        *cases(decay=DECAY_KINDS, bonus=[False, True], num_tokens=LENGTHS, heads=[1], initial_state=[False]),
        *cases(decay=DECAY_KINDS, bonus=[False, True], num_tokens=LENGTHS, heads=[3], initial_state=[True]),
        *cases(decay=DECAY_KINDS, bonus=[False, True], dtype=["bfloat16"]),
    ],
    ids=str,
)
def test_every_kind_at_every_length(case, implementation):
    assert_agrees(case, implementation)
