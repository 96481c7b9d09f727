"""The public functions: errors, selection of a driver, states passed on, and use under jax's transforms."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scan_cases import BATCH, CHUNK, KEY, VALUE, Case, arguments, relative_rms_error

from sandbox import scans
from sandbox.scans import IMPLEMENTATIONS, RULES, resolve_implementation
from sandbox.scans.rules.chunk_algebra import unit_lower_inverse
from sandbox.scans.rules.gated_delta_rule import GatedDeltaRuleInputs
from sandbox.scans.rules.gated_linear_attention import GatedLinearAttentionInputs

by_every_rule = pytest.mark.parametrize("rule", RULES)
by_every_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


def call(rule, inputs, **options):
    return getattr(scans, rule)(**inputs, **options)


@pytest.fixture
def without_shape_checker():
    """The checker of the tests stands before a public function; its own errors are for everyone else."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@by_every_rule
@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("q", (2, 5, 4), "[B, T, H, K]"),
        ("q", (2, 0, 3, 4), "T >= 1"),
        ("k", (2, 5, 3, 7), "[B, T, H, K] = (2, 5, 3, 4)"),
        ("v", (2, 6, 3, 6), "[B, T, H, V] = (2, 5, 3, 6)"),
        ("v", (2, 5, 6), "[B, T, H, V]"),
        ("beta", (2, 5, 3, 1), "[B, T, H] = (2, 5, 3)"),
        ("log_decay", (2, 5, 3), "[H, 1], [H, K], [B, T, H, 1] or [B, T, H, K]"),
        ("log_decay", (2, 5, 3, 2), "with B=2, T=5, H=3, K=4"),
        ("bonus", (3, 1), "[H, K] = (3, 4)"),
        ("initial_state", (2, 3, 6, 4), "[B, H, K, V] = (2, 3, 4, 6)"),
    ],
)
def test_a_wrong_shape_is_refused_by_name(rule, name, shape, expected, without_shape_checker):
    inputs = arguments(Case(rule, bonus=rule == "gated_linear_attention", num_tokens=5))
    if name not in inputs:
        pytest.skip(f"{rule} has no {name}")
    with pytest.raises(ValueError, match=name) as error:
        call(rule, {**inputs, name: jnp.ones(shape)})
    assert f"{name} has shape {shape}, expected " in str(error.value)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@by_every_rule
@pytest.mark.parametrize("chunk_size", [0, -8, 12])
def test_a_chunk_size_is_a_power_of_two(rule, chunk_size):
    with pytest.raises(ValueError, match=f"chunk_size={chunk_size} is not a power of two"):
        call(rule, arguments(Case(rule)), chunk_size=chunk_size)


def test_auto_is_the_step_for_one_token_and_chunks_for_more():
    for rule in RULES:
        assert resolve_implementation("auto", rule=rule, num_tokens=1) == "recurrent"
        assert resolve_implementation("auto", rule=rule, num_tokens=2) == "chunked"
        for name in IMPLEMENTATIONS:
            assert resolve_implementation(name, rule=rule, num_tokens=1) == name


def test_unknown_names_are_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="implementation='fast' is not one of auto, recurrent, chunked"):
        resolve_implementation("fast", rule="gated_delta_rule", num_tokens=4)
    with pytest.raises(ValueError, match="rule='delta' is not one of gated_linear_attention, gated_delta_rule"):
        resolve_implementation("auto", rule="delta", num_tokens=4)


def test_a_rule_without_a_chunk_form_runs_token_by_token_and_says_so(monkeypatch):
    rule = "gated_delta_rule"
    monkeypatch.setitem(RULES, rule, dataclasses.replace(RULES[rule], chunk=None))
    assert resolve_implementation("auto", rule=rule, num_tokens=4) == "recurrent"
    with pytest.raises(NotImplementedError, match="cannot run gated_delta_rule: the rule has no chunk form"):
        call(rule, arguments(Case(rule)), implementation="chunked")


@by_every_rule
def test_one_token_has_no_loop(rule):
    inputs = arguments(Case(rule, num_tokens=1))
    program = str(jax.make_jaxpr(functools.partial(call, rule))(inputs))
    assert "scan" not in program
    assert "while" not in program


@by_every_rule
def test_tokens_that_fit_one_chunk_have_no_loop(rule):
    inputs = arguments(Case(rule, num_tokens=CHUNK - 1))
    assert "scan" not in str(jax.make_jaxpr(functools.partial(call, rule, chunk_size=CHUNK))(inputs))


@by_every_rule
@by_every_implementation
def test_inputs_of_zero_leave_the_state_exactly_alone(rule, implementation):
    inputs = arguments(Case(rule, num_tokens=CHUNK + 1))
    zeros = {name: jnp.zeros_like(array) for name, array in inputs.items()}
    zeros["initial_state"] = inputs["initial_state"]
    _, final_state = call(rule, zeros, implementation=implementation, chunk_size=CHUNK)
    np.testing.assert_array_equal(final_state, inputs["initial_state"])


@by_every_rule
@by_every_implementation
def test_a_state_passed_on_continues_the_sequence(rule, implementation):
    inputs = arguments(Case(rule))
    run = functools.partial(call, rule, implementation=implementation, chunk_size=CHUNK)
    outputs, final_state = run(inputs)
    parts, state = [], inputs["initial_state"]
    for tokens in (slice(0, CHUNK), slice(CHUNK, CHUNK + 3), slice(CHUNK + 3, None)):
        part = {name: array[:, tokens] for name, array in inputs.items() if name != "initial_state"}
        out, state = run({**part, "initial_state": state})
        parts.append(out)
    assert relative_rms_error(outputs, jnp.concatenate(parts, axis=1)) < 1e-6
    assert relative_rms_error(final_state, state) < 1e-6


@by_every_rule
@by_every_implementation
def test_a_population_is_one_more_axis(rule, implementation):
    """Outputs and gradients under vmap, jit, a scan of steps and jax.checkpoint are those of each member."""
    inputs = arguments(Case(rule, decay="channel, fixed", num_tokens=CHUNK + 1))
    members = jax.tree.map(lambda array: jnp.stack([array, 0.5 * array]), inputs)

    @jax.checkpoint
    def loss(inputs):
        outputs, final_state = call(rule, inputs, implementation=implementation, chunk_size=CHUNK)
        return jnp.sum(outputs**2) + jnp.sum(final_state**2)

    together = jax.jit(jax.vmap(jax.value_and_grad(loss)))(members)
    _, in_turn = jax.jit(lambda members: jax.lax.scan(lambda _, m: (_, jax.value_and_grad(loss)(m)), 0, members))(
        members
    )
    for expected, found in zip(jax.tree.leaves(in_turn), jax.tree.leaves(together), strict=True):
        assert relative_rms_error(expected, found) < 1e-5


PORTABLE_PRIMITIVES = {
    *("add", "add_any", "sub", "mul", "neg", "exp", "dot_general", "reduce_sum", "select_n"),
    *("iota", "eq", "ge", "gt", "le", "lt", "ne", "and", "or", "not", "xor"),
    *("broadcast_in_dim", "reshape", "squeeze", "transpose", "convert_element_type"),
    *("jit", "custom_jvp_call"),
}
"""What Mosaic TPU and Pallas Triton kernels both lower, for arrays of at most two dimensions."""


def equations(program):
    for equation in program.eqns:
        yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


@by_every_rule
@pytest.mark.parametrize("last", [None, 1, KEY])
def test_chunk_forms_and_their_gradients_can_be_traced_in_a_kernel(rule, last):
    key, value, scalar = (jnp.ones((CHUNK, size)) for size in (KEY, VALUE, 1))
    log_decay = None if last is None else jnp.ones((CHUNK, last))
    inputs = {
        "gated_linear_attention": GatedLinearAttentionInputs(key, key, value, log_decay, bonus=key),
        "gated_delta_rule": GatedDeltaRuleInputs(key, key, value, scalar, log_decay),
    }[rule]
    state = jnp.ones((KEY, VALUE))

    def with_gradient(state, inputs):
        value, pullback = jax.vjp(RULES[rule].chunk, state, inputs)
        return pullback(value)

    for equation in equations(jax.make_jaxpr(with_gradient)(state, inputs).jaxpr):
        assert equation.primitive.name in PORTABLE_PRIMITIVES, equation
        assert all(len(value.aval.shape) <= 2 for value in equation.outvars), equation


def test_the_inverse_is_exact_where_keys_repeat():
    """The case in which a product of powers of the triangle loses every digit."""
    size = 64
    keys = np.eye(4)[np.arange(size) % 4]
    lower = np.tril(-1.9 * keys @ keys.T, -1)
    expected = np.linalg.inv(np.eye(size) - lower)
    assert relative_rms_error(expected, unit_lower_inverse(jnp.asarray(lower, jnp.float32))) < 1e-5


@by_every_rule
def test_sequences_do_not_see_one_another(rule):
    inputs = arguments(Case(rule, num_tokens=CHUNK + 1))
    alone, _ = call(rule, {name: array[:1] for name, array in inputs.items()}, chunk_size=CHUNK)
    together, _ = call(rule, inputs, chunk_size=CHUNK)
    assert together.shape[0] == BATCH
    assert relative_rms_error(alone, together[:1]) < 1e-6
