"""The public functions: which driver runs, states passed on, precision, and use under jax's transforms."""

import functools

import definitions_channelwise
import definitions_matrix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import in_precision, quickly_compiled, relative_errors
from scan_arguments import CHUNK, EXAMPLES, LONG, B, draw

from sandbox import scans
from sandbox.scans import IMPLEMENTATIONS, RULES, resolve_implementation
from sandbox.target import interpreted_kernels

by_every_function = pytest.mark.parametrize("function", RULES)
IN_CHUNKS = {"gated_linear_attention", "mlstm"}
"""The rules that train in chunks on a CPU even if the state is small."""

by_every_platform = pytest.mark.parametrize("platform", ["gpu", "tpu"])


def drawn(function, tokens=CHUNK + 1, precision=np.float32):
    return in_precision(draw(function, EXAMPLES[function], tokens), precision)


def call(function, arguments, **options):
    return getattr(scans, function)(**arguments, chunk_size=CHUNK, **options)


def loss(function, arguments, **options):
    """A real number that depends on every element of the outputs and of the final state."""
    leaves = jax.tree.leaves(call(function, arguments, **options))
    return sum(jnp.sum(jnp.cos(leaf.real) + jnp.sin(leaf.imag)) for leaf in leaves)


def assert_equal_up_to_rounding(expected, found, tolerance=1e-5):
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert np.all(relative_errors(one[None], other[None]) < tolerance)


@by_every_function
def test_every_function_has_an_example_and_a_definition(function):
    assert function in EXAMPLES
    assert hasattr(definitions_matrix, function) != hasattr(definitions_channelwise, function)


@by_every_function
def test_auto_on_cpu_is_the_definition_unless_gradients_are_taken(function):
    resolve = functools.partial(resolve_implementation, "auto", rule=RULES[function])
    assert resolve(num_tokens=1) == resolve(num_tokens=1, differentiated=False) == "recurrent"
    assert resolve(num_tokens=2, differentiated=False) == "recurrent"
    assert resolve(num_tokens=2, rows=16, columns=32) == ("chunked" if function in IN_CHUNKS else "steps")
    assert resolve(num_tokens=2, rows=32, columns=32) == ("steps" if RULES[function].chunk is None else "chunked")


@by_every_platform
def test_auto_takes_kernels_where_there_are_some(platform):
    rule = RULES["gated_delta_rule"]
    with interpreted_kernels(platform):
        assert resolve_implementation("auto", rule=rule, num_tokens=2, rows=64, columns=64) == "pallas"
        assert resolve_implementation("auto", rule=rule, num_tokens=1, rows=64, columns=64) == "recurrent"
        assert resolve_implementation("auto", rule=rule, num_tokens=2, rows=10**5, columns=64) == "chunked"
        with pytest.raises(NotImplementedError, match=r"'pallas' cannot run gated_delta_rule here: .*100000"):
            resolve_implementation("pallas", rule=rule, num_tokens=2, rows=10**5, columns=64)


@by_every_platform
def test_float64_is_not_for_kernels(platform):
    with interpreted_kernels(platform), jax.enable_x64(True):
        ones = jnp.ones((1, 3, 1, 4), jnp.float64)
        outputs, _ = quickly_compiled(scans.gated_linear_attention)(ones, ones, ones)
        np.testing.assert_array_equal(outputs[0, :, 0, 0], [4, 8, 12])
        with pytest.raises(NotImplementedError, match="kernels compute in float32, and these inputs need float64"):
            scans.gated_linear_attention(ones, ones, ones, implementation="pallas")


@by_every_function
def test_float64_stays_float64(function):
    with jax.enable_x64(True):
        arguments = drawn(function, precision=np.float64)
        by_steps, by_chunks = (
            quickly_compiled(functools.partial(call, function, implementation=name))(arguments)
            for name in ("recurrent", "chunked")
        )
        assert_equal_up_to_rounding(by_steps, by_chunks, tolerance=1e-12)


@pytest.fixture
def drivers_that_ran(monkeypatch):
    """Names of the drivers, in the order of their calls while a program is traced."""
    names = []

    def recorded(name, driver):
        def run(*arguments, **options):
            names.append(name)
            return driver(*arguments, **options)

        return run

    for name, driver in IMPLEMENTATIONS.items():
        monkeypatch.setitem(IMPLEMENTATIONS, name, recorded(name, driver))
    return names


@by_every_function
def test_what_runs_is_what_is_resolved_to(function, drivers_that_ran):
    arguments, one_token = drawn(function), drawn(function, tokens=1)
    run, differentiate = functools.partial(call, function), jax.grad(functools.partial(loss, function))

    def ran(run, arguments):
        drivers_that_ran.clear()
        jax.eval_shape(lambda arguments: run(arguments), arguments)  # a new function: nothing is cached for it
        return drivers_that_ran

    assert ran(differentiate, arguments) == ["chunked" if function in IN_CHUNKS else "steps"]
    assert ran(differentiate, one_token) == ["recurrent"]
    assert ran(run, arguments) == ["recurrent"]
    for name in ("recurrent", "steps", "chunked"):
        assert ran(functools.partial(run, implementation=name), one_token) == [name]
    for platform in ("gpu", "tpu"):
        with interpreted_kernels(platform):
            assert ran(run, arguments) == ["pallas"]
            assert ran(run, one_token) == ["recurrent"]


@by_every_function
def test_one_token_has_no_loop(function):
    program = str(jax.make_jaxpr(functools.partial(call, function))(drawn(function, tokens=1)))
    assert "scan" not in program
    assert "while" not in program


@pytest.mark.parametrize("function", [name for name, rule in RULES.items() if rule.chunk is not None])
def test_tokens_that_fit_one_chunk_have_no_loop(function):
    run = functools.partial(call, function, implementation="chunked")
    assert "scan" not in str(jax.make_jaxpr(run)(drawn(function, tokens=CHUNK - 1)))


@by_every_function
def test_bfloat16_inputs_give_bfloat16_outputs_and_a_float32_state(function):
    arguments = draw(function, EXAMPLES[function] if function != "diagonal_scan" else "real")
    state = in_precision(arguments.pop("initial_state"), np.float32)
    arguments = in_precision(arguments, jnp.bfloat16)
    for implementation in ("recurrent", "steps", "chunked", "auto"):
        for given in ({}, {"initial_state": state}):
            run = functools.partial(call, function, implementation=implementation)
            outputs, final_state = jax.eval_shape(run, arguments | given)
            assert outputs.dtype == jnp.bfloat16
            assert {leaf.dtype for leaf in jax.tree.leaves(final_state)} == {np.dtype(np.float32)}


@by_every_function
def test_a_state_passed_on_continues_the_sequence(function):
    """From one implementation to another, and from chunks to single tokens."""
    parts = [("chunked", slice(0, CHUNK + 3)), ("recurrent", slice(CHUNK + 3, -1)), ("auto", slice(-1, None))]

    def of_some(leaf, tokens):
        return leaf[:, tokens] if leaf.shape[1:2] == (LONG,) else leaf

    @quickly_compiled
    def at_once_and_in_parts(arguments):
        outputs, state = [], arguments["initial_state"]
        for implementation, tokens in parts:
            part = {name: of_some(leaf, tokens) for name, leaf in arguments.items() if name != "initial_state"}
            output, state = call(function, part | {"initial_state": state}, implementation=implementation)
            outputs.append(output)
        return call(function, arguments, implementation="chunked"), (jnp.concatenate(outputs, axis=1), state)

    assert_equal_up_to_rounding(*at_once_and_in_parts(drawn(function, tokens=LONG)), tolerance=1e-6)


@by_every_function
def test_sequences_do_not_see_one_another(function):
    def of_the_first(leaf):
        return leaf[:1] if leaf.shape[0] == B else leaf

    @quickly_compiled
    def alone_and_together(arguments):
        run = functools.partial(call, function, implementation="chunked")
        alone = run(jax.tree.map(of_the_first, arguments))
        return alone, jax.tree.map(lambda leaf: leaf[:1], run(arguments))

    assert_equal_up_to_rounding(*alone_and_together(drawn(function)), tolerance=1e-6)


def assert_a_population_is_one_more_axis(function, implementation):
    """Values and gradients under vmap, jit, a scan of steps and jax.checkpoint are those of each member."""
    arguments = drawn(function)
    members = jax.tree.map(lambda leaf: np.stack([leaf, 0.5 * np.asarray(leaf)]), arguments)
    take = jax.value_and_grad(jax.checkpoint(functools.partial(loss, function, implementation=implementation)))

    @quickly_compiled
    def in_turn_and_together(members):
        return jax.lax.scan(lambda _, member: (None, take(member)), None, members)[1], jax.vmap(take)(members)

    assert_equal_up_to_rounding(*in_turn_and_together(members))


@by_every_function
@pytest.mark.parametrize("implementation", ["recurrent", "auto"])
def test_a_population_is_one_more_axis(function, implementation):
    assert_a_population_is_one_more_axis(function, implementation)


@pytest.mark.slow(seconds=4)
@by_every_platform
@pytest.mark.parametrize("function", ["gated_linear_attention", "selective_scan"])
def test_a_population_of_kernels(function, platform):
    with interpreted_kernels(platform):
        assert_a_population_is_one_more_axis(function, "pallas")
