"""Errors of the public functions for bad arguments: one line with the argument and what is allowed."""

import numpy as np
import pytest
from agreement import in_precision
from scan_arguments import EXAMPLES, draw

from sandbox import scans
from sandbox.scans import RULES, MLSTMState, MomentumState, WKV4State, resolve_implementation, run_rule
from sandbox.scans.rules.gated_linear_attention import GatedLinearAttentionInputs
from sandbox.target import interpreted_kernels

by_every_function = pytest.mark.parametrize("function", RULES)


def drawn(function):
    """Five tokens."""
    return in_precision(draw(function, EXAMPLES[function], tokens=5), np.float32)


OF_MATRIX_STATES = [
    ("q", (2, 5, 4), "[B, T, H, K]"),
    ("q", (2, 0, 3, 4), "at least one token (T >= 1)"),
    ("k", (2, 5, 3, 7), "[B, T, H, K] = (2, 5, 3, 4)"),
    ("v", (2, 6, 3, 6), "[B, T, H, V] = (2, 5, 3, 6)"),
    ("v", (2, 5, 6), "[B, T, H, V]"),
]
OF_DECAYS = [
    ("log_decay", (2, 5, 3), "[H, 1], [H, K], [B, T, H, 1] or [B, T, H, K]"),
    ("log_decay", (2, 5, 3, 2), "[H, 1], [H, K], [B, T, H, 1] or [B, T, H, K] with B=2, T=5, H=3, K=4"),
    ("initial_state", (2, 3, 6, 4), "[B, H, K, V] = (2, 3, 4, 6)"),
]
WRONG_SHAPES = {
    "gated_linear_attention": [*OF_MATRIX_STATES, *OF_DECAYS, ("bonus", (3, 1), "[H, K] = (3, 4)")],
    "gated_delta_rule": [*OF_MATRIX_STATES, *OF_DECAYS, ("beta", (2, 5, 3, 1), "[B, T, H] = (2, 5, 3)")],
    "generalized_delta_rule": [
        *OF_MATRIX_STATES,
        *OF_DECAYS,
        ("a", (2, 5, 3, 6), "[B, T, H, K] = (2, 5, 3, 4)"),
        ("b", (2, 5, 3), "[B, T, H, K] = (2, 5, 3, 4)"),
    ],
    "mlstm": [
        *OF_MATRIX_STATES,
        ("input_gate", (2, 5, 3, 1), "[B, T, H] = (2, 5, 3)"),
        ("log_forget", (2, 5), "[B, T, H] = (2, 5, 3)"),
    ],
    "momentum_delta_rule": [
        *OF_MATRIX_STATES,
        ("p", (2, 5, 3, 6), "[B, T, H, K] = (2, 5, 3, 4)"),
        ("log_decay", (2, 5, 3, 1), "[B, T, H] = (2, 5, 3)"),
        ("share", (2, 5), "[B, T, H] = (2, 5, 3)"),
        ("log_momentum", (1, 5, 3), "[B, T, H] = (2, 5, 3)"),
        ("rate", (3,), "[B, T, H] = (2, 5, 3)"),
    ],
    "diagonal_scan": [
        ("x", (6,), "[B, T, …]"),
        ("x", (2, 0, 6), "[B, T, …] with at least one token (T >= 1)"),
        ("a", (2, 3, 6), "that of x, (2, 5, 6), where B or T may be one"),
        ("a", (6,), "that of x, (2, 5, 6), where B or T may be one"),
        ("initial_state", (2, 5), "[B, …] = (2, 6)"),
    ],
    "selective_scan": [
        ("x", (2, 6), "[B, T, E]"),
        ("dt", (2, 5, 1), "[B, T, E] = (2, 5, 6)"),
        ("A", (4, 4), "[E, N] = (6, 4)"),
        ("A", (), "[E, N]"),
        ("Bm", (2, 5, 6), "[B, T, N] = (2, 5, 4)"),
        ("Cm", (2, 4), "[B, T, N] = (2, 5, 4)"),
        ("initial_state", (2, 4, 6), "[B, E, N] = (2, 6, 4)"),
    ],
    "wkv4": [
        ("k", (2, 0, 6), "at least one token (T >= 1)"),
        ("v", (2, 5, 7), "[B, T, E] = (2, 5, 6)"),
        ("w", (1, 6), "[E] = (6,)"),
        ("u", (1,), "[E] = (6,)"),
    ],
}

WRONG_STATES = [
    ("mlstm", "memory", (2, 3, 6, 4), "[B, H, K, V] = (2, 3, 4, 6)"),
    ("mlstm", "normalizer", (2, 3, 4), "[B, H, 1, K] = (2, 3, 1, 4)"),
    ("mlstm", "stabilizer", (2, 3), "[B, H, 1, 1] = (2, 3, 1, 1)"),
    ("momentum_delta_rule", "momentum", (2, 3, 6, 4), "[B, H, K, V] = (2, 3, 4, 6)"),
    ("momentum_delta_rule", "memory", (3, 4, 6), "[B, H, K, V] = (2, 3, 4, 6)"),
    ("wkv4", "numerator", (2, 5), "[B, E] = (2, 6)"),
    ("wkv4", "denominator", (2, 1), "[B, E] = (2, 6)"),
    ("wkv4", "maximum", (6,), "[B, E] = (2, 6)"),
]


def message_of(function, arguments):
    with pytest.raises(ValueError, match="expected") as error:
        getattr(scans, function)(**arguments)
    return str(error.value)


@by_every_function
def test_a_wrong_shape_is_refused_by_name(function, without_shape_checker):
    for name, shape, expected in WRONG_SHAPES[function]:
        message = message_of(function, {**drawn(function), name: np.ones(shape)})
        assert message.startswith(f"{name} has shape {shape}, expected ")
        assert expected in message
        assert "\n" not in message


@by_every_function
def test_every_argument_has_a_wrong_shape(function):
    parts = {"initial_state" for name, *_ in WRONG_STATES if name == function}
    assert {name for name, *_ in WRONG_SHAPES[function]} | parts == drawn(function).keys()


@pytest.mark.parametrize(("function", "name", "shape", "expected"), WRONG_STATES)
def test_a_wrong_part_of_a_state_is_refused_by_name(function, name, shape, expected, without_shape_checker):
    arguments = drawn(function)
    arguments["initial_state"] = arguments["initial_state"]._replace(**{name: np.ones(shape)})
    message = message_of(function, arguments)
    assert message == f"initial_state.{name} has shape {shape}, expected {expected}"


def test_every_part_of_a_state_has_a_wrong_shape():
    assert [name for _, name, *_ in WRONG_STATES] == [
        *MLSTMState._fields,
        *MomentumState._fields,
        *WKV4State._fields,
    ]


def test_a_complex_state_of_a_real_scan_is_refused(without_shape_checker):
    arguments = in_precision(draw("diagonal_scan", "real"), np.float32) | {
        "initial_state": np.ones((2, 6), np.complex64)
    }
    message = message_of("diagonal_scan", arguments)
    assert message == "initial_state has dtype complex64, expected a real one where a and x are real"


@by_every_function
def test_what_is_no_array_of_real_numbers_is_refused_by_name(function, without_shape_checker):
    arguments = drawn(function)
    tuples = {name for function_, name, *_ in WRONG_STATES if function_ == function} and {"initial_state"}
    for name, array in arguments.items():
        if name in tuples:
            assert message_of(function, arguments | {name: tuple(array)}).startswith(
                f"{name} is a tuple, expected "
            )
            continue
        assert message_of(function, arguments | {name: -0.5}).startswith(f"{name} is -0.5, expected an array ")
        whole = message_of(function, arguments | {name: np.ones(array.shape, np.int32)})
        assert whole == f"{name} has dtype int32, expected a floating-point one"


LEAVES = {"q": (2, 5, 3, 4), "k": (2, 5, 3, 4), "v": (2, 5, 3, 6)}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"k": (2, 3, 3, 4)}, r"k has shape \(2, 3, 3, 4\), expected \[B, T, H, …\] with B=2 or 1, T=5 or 1, H=3"),
        ({"v": (3, 5, 3, 6)}, r"q has shape \(2, 5, 3, 4\), expected \[B, T, H, …\] with B=3 or 1, T=5 or 1, H=3"),
        ({"k": (2, 5, 1, 4)}, r"k has shape \(2, 5, 1, 4\), expected \[B, T, H, …\] with B=2 or 1, T=5 or 1, H=3"),
        ({"k": (2, 5)}, r"k has shape \(2, 5\), expected \[B, T, H, …\]"),
        (dict.fromkeys(LEAVES, (2, 0, 3, 4)), "q, k, v have no token, expected at least one"),
    ],
)
def test_leaves_that_do_not_fit_are_refused_by_name(shapes, message):
    inputs = GatedLinearAttentionInputs(**{name: np.ones(shape) for name, shape in (LEAVES | shapes).items()})
    with pytest.raises(ValueError, match=message):
        run_rule(RULES["gated_linear_attention"], inputs, dtype=np.float32)


@by_every_function
@pytest.mark.parametrize("chunk_size", [0, -8, 12, 16.0, "16"])
def test_a_chunk_size_is_a_power_of_two(function, chunk_size, without_shape_checker):
    with pytest.raises(ValueError, match=f"chunk_size={chunk_size!r} is not a power of two"):
        getattr(scans, function)(**drawn(function), chunk_size=chunk_size)


def test_unknown_names_are_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="implementation='fast' is not one of auto, recurrent, steps, chunked"):
        resolve_implementation("fast", rule=RULES["gated_delta_rule"], num_tokens=4)
    with pytest.raises(ValueError, match="platform='metal' is not one of gpu, tpu"), interpreted_kernels("metal"):
        pass


@by_every_function
def test_kernels_are_refused_where_there_are_none(function):
    with pytest.raises(
        NotImplementedError, match=f"run {function} here: kernels need a GPU or a TPU, and this is cpu"
    ):
        getattr(scans, function)(**drawn(function), implementation="pallas")
