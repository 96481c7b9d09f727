"""Our count of operations, over the traced program, and XLA's own."""

import functools
from collections import Counter

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax import lax
from xla_count import count_flops_by_xla

from sandbox.arithmetic import FREE, TRANSCENDENTAL, equations, operations, operations_of
from sandbox.cost.flops import analyse, count_flops, traced
from sandbox.cost.programs import PHASES, decoding, prefill, training
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import OuterConfig
from sandbox.models.mixers.short_conv import ShortConvConfig
from sandbox.models.mixers.softmax import SoftmaxConfig

TOLERANCE = 0.05


def make(mixer, d_model=32, vocab_size=16):
    return nnx.eval_shape(
        lambda: ModelConfig(d_model=d_model, layout=["mixer"]).make(mixer, vocab_size, rngs=nnx.Rngs(0))
    )


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def by_xlas_conventions(function, *arguments):
    """Our count by primitive, with one iteration of each loop, in XLA's conventions.

    XLA takes a complex number for one number, a Fourier transform for more than it is, writes out some of the
    transcendental functions, and calls a library for triangular systems: these are counted by XLA, one at a time.
    """
    counts = Counter()
    for equation, times in equations(traced(function, *arguments), loops_once=True):
        primitive, inputs = equation.primitive, [variable.aval for variable in equation.invars]
        avals = [*inputs, *(variable.aval for variable in equation.outvars)]
        is_complex = any(jnp.issubdtype(aval.dtype, jnp.complexfloating) for aval in avals)
        if is_complex or primitive.name in (*TRANSCENDENTAL, "cholesky", "triangular_solve"):
            params = tuple(sorted(equation.params.items()))
            number = _alone(primitive, params, tuple((aval.shape, aval.dtype) for aval in inputs))
        else:
            number = 0 if primitive.name in FREE else operations_of(equation)
        counts[primitive.name] += times * number
    return counts


@functools.cache
def _alone(primitive, params, shapes):
    return count_flops_by_xla(
        lambda *args: primitive.bind(*args, **dict(params)), *(shape(*s, dtype=d) for s, d in shapes)
    )


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", MIXERS)
def test_both_count_the_same(name, phase):
    program = PHASES[phase](make(MIXERS[name]()), 1, 70)
    counts = by_xlas_conventions(program.function, *program.arguments)
    of_xla = count_flops_by_xla(program.function, *program.arguments)
    assert counts.total() == pytest.approx(of_xla, rel=TOLERANCE), counts.most_common()


def test_every_iteration_of_a_loop_counts_as_if_it_were_written_out():
    def take_step(state, x):
        return state + x @ x.T, jnp.sum(state)

    def looped(xs, unroll):
        return lax.scan(take_step, jnp.zeros((8, 8)), xs, unroll=unroll)

    xs = shape(11, 8, 4)
    written_out = count_flops_by_xla(lambda xs: looped(xs, 11), xs)
    assert written_out > 11 * 2 * 8 * 4 * 8
    for unroll in (1, 2, 4, 11):
        loop = functools.partial(looped, unroll=unroll)
        assert count_flops(loop, xs) == pytest.approx(written_out, rel=0.01)
        once = operations(traced(loop, xs), loops_once=True)[0]
        assert once == pytest.approx(count_flops_by_xla(loop, xs), rel=0.01)


@pytest.mark.parametrize("implementation", ["recurrent", "chunked"])
def test_a_model_that_loops_costs_what_its_tokens_cost(implementation):
    """Token by token, T tokens cost T times one, which a count of one iteration would miss."""
    model = make(OuterConfig(implementation=implementation, chunk_size=16))
    short, long = (prefill(model, 1, length) for length in (32, 320))
    assert long.trace().flops_per_token == pytest.approx(short.trace().flops_per_token, rel=0.01)
    assert count_flops_by_xla(long.function, *long.arguments) < 0.97 * 320 * long.trace().flops_per_token


def test_what_is_called_counts_and_of_branches_the_largest():
    x = shape(8, 8)
    product = 2 * 8**3

    @jax.custom_vjp
    def squared(x):
        return x @ x

    squared.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x.T + x.T @ g,))

    def both(x):
        return lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x + 1, x)

    assert count_flops(jax.jit(squared), x) == product
    assert count_flops(lambda x: jax.vjp(squared, x)[1](x), x) == 2 * product + 64
    assert count_flops(jax.checkpoint(squared), x) == product
    assert count_flops(both, x) == 2 * product + 1
    assert count_flops(lambda x: (x @ x) * 0 + x, x) == product + 128
    assert count_flops(lambda x: (x @ x, x + 1)[1], x) == 64, "what no result needs is not computed"


def test_what_cannot_be_counted_is_refused():
    def until_large(x):
        return lax.while_loop(lambda x: x[0] < 100, lambda x: 2 * x, x)

    with pytest.raises(NotImplementedError, match="while cannot be counted"):
        count_flops(until_large, shape(3))


@pytest.mark.parametrize(("tokens", "square", "line"), [(1000, 64e6, 4e6), (10_000, 6.4e9, 40e6)])
def test_the_square_and_the_line(tokens, square, line):
    """Multiply-adds of the score matrix n²d and of the state n d², of which each is two operations."""
    arrays = shape(tokens, 64), shape(tokens, 64)
    scores = analyse(jax.jit(lambda q, k: q @ k.T).lower(*arrays).compile())
    state = analyse(jax.jit(lambda k, v: k.T @ v).lower(*arrays).compile())
    assert scores.flops == 2 * tokens**2 * 64 == pytest.approx(2 * square)
    assert state.flops == 2 * tokens * 64**2 == pytest.approx(2 * line, rel=0.03)
    assert scores.flops / state.flops == tokens / 64


def test_the_square_and_the_line_in_models():
    """Attention reads all tokens for each: n²d for the scores and n²d for the values. The state is written and
    read once for each, d² and d², whatever n is."""
    attention, linear = (
        make(SoftmaxConfig(), d_model=64),
        make(OuterConfig(d_state=64, implementation="recurrent"), d_model=64),
    )

    def growth(model):
        return prefill(model, 1, 2000).trace().flops_per_token - prefill(model, 1, 1000).trace().flops_per_token

    assert growth(attention) == pytest.approx(1000 * 2 * 2 * 64, rel=0.1)
    assert abs(growth(linear)) < 10
    own = (
        decoding(linear, 1, 1).trace().flops_per_token
        - decoding(make(OuterConfig(d_state=32), d_model=64), 1, 1).trace().flops_per_token
    )
    projections = 2 * 64 * 2 * 32
    assert own - projections == pytest.approx(32 * 64 * 4, rel=0.2)


def test_only_scored_positions_reach_the_readout():
    model = make(ShortConvConfig(), vocab_size=512)
    every, one = training(model, 1, 100), training(model, 1, 100, scored=1)
    readout = 3 * 2 * 32 * 512
    assert every.trace().flops_per_token - one.trace().flops_per_token == pytest.approx(0.99 * readout, rel=0.1)


def test_a_compiled_program_says_what_it_moves():
    add = analyse(jax.jit(jnp.add).lower(shape(1000), shape(1000)).compile())
    assert add == (1000, 3 * 4000, 3 * 4000)
    assert add.intensity == pytest.approx(1 / 12)
    assert add._replace(bytes_moved=None).intensity is None
