"""Kernels: they lower for hardware that this machine lacks, cut columns into tiles, and reject states that are too
large. Their values at all lengths are checked in `test_rules`.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AbstractDevice, AbstractMesh

from sandbox.scans import RULES, draw_batch, run_rule
from sandbox.scans.check import DRIVERS, differences, draw_fixture, reference, values_and_gradients
from sandbox.scans.kernels.cost import estimate_cost
from sandbox.scans.kernels.gpu import GPU, run_pallas_gpu
from sandbox.scans.kernels.plan import plan_kernel, why_not
from sandbox.scans.kernels.tpu import TPU, run_pallas_tpu
from sandbox.scans.layout import initial_states

DEVICES = {
    "tpu": AbstractDevice(device_kind="TPU v5 lite", num_cores=1, platform="tpu"),
    "cuda": AbstractDevice(device_kind="NVIDIA H100", num_cores=None, platform="gpu"),
}
KERNEL_CALLS = {"tpu": "tpu_custom_call", "cuda": "__gpu$xla.gpu.triton"}

# jax 0.11 and later say so whenever a kernel is lowered for a GPU.
pytestmark = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")

GLA = RULES["gated_linear_attention"]
SELECTIVE_SCAN = RULES["selective_scan"]
MLSTM = RULES["mlstm"]


def step_by_step(rule):
    return dataclasses.replace(rule, chunk=None)


def mixing(rule):
    """The same rule without the knowledge that its columns do not mix."""
    return dataclasses.replace(rule, column_inputs=frozenset())


def shapes(rule, kind, *, tokens=21, rows=20, columns=40, dtype="float32"):
    """A state and inputs of two sequences with three heads, as shapes."""
    sizes = {"batch": 2, "tokens": tokens, "heads": 3, "rows": rows, "columns": columns}
    inputs = jax.eval_shape(lambda: draw_batch(rule.examples[kind], jax.random.key(0), **sizes))
    inputs = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), inputs)
    return jax.eval_shape(functools.partial(initial_states, rule), inputs), inputs


def assert_agrees(rule, kind, driver, *, tokens=21, columns=6, heads=1):
    """Values and gradients of `driver` are those of the rule's step in float64."""
    fixture = draw_fixture(rule, rule.examples[kind], tokens=tokens, rows=5, columns=columns, heads=heads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DRIVERS, "kernel", driver)
        found = values_and_gradients(rule, fixture, "kernel")
    problems = differences(reference(rule, fixture), found, "float32")
    assert not problems, "\n".join(problems)


def on_both(**sizes):
    """Runs a test with each driver interpreted; `sizes` are those to change in a chip, for TPU and GPU."""

    def driver(run, chip, position):
        chip = dataclasses.replace(chip, **{name: values[position] for name, values in sizes.items()})
        return functools.partial(run, interpret=True, chip=chip)

    drivers = {"tpu": driver(run_pallas_tpu, TPU, 0), "gpu": driver(run_pallas_gpu, GPU, 1)}
    return pytest.mark.parametrize("driver", drivers.values(), ids=drivers)


def program(rule, *, backward):
    """A function that computes values or gradients by kernels."""

    def values(state, inputs):
        return run_rule(rule, inputs, dtype=jnp.float32, initial_state=state, implementation="pallas")

    def gradients(state, inputs):
        results, pullback = jax.vjp(values, state, inputs)
        return pullback(results)

    return gradients if backward else values


def number_of_kernels(program, arguments, platform):
    """The number of kernels in a program that is lowered for a device that this machine lacks."""
    with jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=DEVICES[platform])):
        lowered = jax.jit(program).trace(*arguments).lower(lowering_platforms=(platform,))
    return lowered.as_text().count(f"@{KERNEL_CALLS[platform]}")


@pytest.mark.slow(seconds=5)
@pytest.mark.parametrize("platform", DEVICES)
@pytest.mark.parametrize("rule", [*RULES.values(), step_by_step(MLSTM)], ids=lambda rule: rule.name)
def test_lowers_for_hardware_that_is_not_here(rule, platform):
    for kind in rule.examples:
        arguments = shapes(rule, kind)
        assert number_of_kernels(program(rule, backward=False), arguments, platform) == 1, kind
        assert number_of_kernels(program(rule, backward=True), arguments, platform) == 2, kind
    state, inputs = shapes(rule, kind)
    several = inputs._replace(starts=jax.ShapeDtypeStruct((2, 21, 3, 1), "float32"))
    assert number_of_kernels(program(rule, backward=True), (state, several), platform) == 2, "segments"


@pytest.mark.parametrize("platform", DEVICES)
def test_a_population_lowers(platform):
    """One more axis of the grid than a GPU has."""
    population = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), shapes(GLA, "channel decay, fixed, bonus")
    )
    assert number_of_kernels(jax.vmap(program(GLA, backward=True)), population, platform) == 2


@pytest.mark.parametrize(
    ("rule", "kind"),
    [(GLA, "scalar decay, fixed"), (RULES["wkv4"], "fixed w and u")],
    ids=["chunks", "single steps"],
)
def test_reads_nothing_that_was_not_written_and_writes_nothing_that_another_core_does(rule, kind, capfd):
    """Memory is NaN until it is written; the programs of a grid run on two cores."""
    params = pltpu.InterpretParams(detect_races=True, num_cores_or_threads=2)
    assert_agrees(rule, kind, functools.partial(run_pallas_tpu, interpret=params))
    assert "RACE DETECTED" not in "".join(capfd.readouterr())


@pytest.mark.slow(seconds=4)
@on_both(widest_tile=(128, 64))
@pytest.mark.parametrize("rule", [MLSTM, step_by_step(MLSTM)], ids=["chunks", "single steps"])
def test_tiles_of_columns(rule, driver):
    """Every tile has all of the normalizer and of q: one gives the former, all give the gradient of the latter."""
    assert_agrees(rule, "exponential input gate", driver, columns=130)


@on_both(widest_tile=(8, 16))
def test_columns_that_mix_are_not_cut(driver):
    assert_agrees(mixing(GLA), "channel decay", driver, columns=17)


@on_both()
def test_a_step_may_multiply_vectors_as_matrices(driver):
    def step(state, inputs):
        state = state + jnp.outer(inputs.k, inputs.v) * (inputs.k @ inputs.q)
        return state, inputs.q @ state + (state.T @ jnp.einsum("kv,v->k", state, inputs.v))

    assert_agrees(dataclasses.replace(GLA, step=step, chunk=None), "no decay", driver)


@on_both()
def test_one_token_with_an_input_of_two_axes(driver):
    assert_agrees(SELECTIVE_SCAN, "fixed A", driver, tokens=1)


@pytest.mark.parametrize("chip", [TPU, GPU], ids=lambda chip: chip.name)
def test_why_there_is_no_kernel(chip):
    reason = functools.partial(why_not, chip, dtype=jnp.float32)
    assert reason(GLA, rows=256, columns=100_000) is None
    message = reason(GLA, rows=4096, columns=4096)
    assert "columns of a state with 4096 rows is" in message
    assert f"a program on a {chip.name} holds at most {chip.largest_state}" in message
    assert "all 4096 columns" in reason(mixing(GLA), rows=64, columns=4096)


@on_both()
def test_rejects_what_it_cannot_run(driver):
    def run(rule, **sizes):
        state, inputs = shapes(rule, "no decay", **sizes)
        return jax.eval_shape(functools.partial(driver, rule, dtype=jnp.float32), state, inputs)

    with pytest.raises(NotImplementedError, match="gated_linear_attention: all 4000 columns of a state with 20"):
        run(mixing(GLA), columns=4000)
    with (
        jax.enable_x64(True),
        pytest.raises(NotImplementedError, match="attention: kernels compute in float32"),
    ):
        run(GLA, dtype="float64")


def test_chunks_that_multiply_too_much_are_made_shorter_or_run_step_by_step():
    """Decays per channel have as many products as there are halvings of the chunk."""
    rule = RULES["generalized_delta_rule"]

    def plan(chip, kind, rows):
        arguments = shapes(rule, kind, rows=rows, tokens=100)
        return plan_kernel(chip, rule, *arguments, dtype=jnp.float32, chunk_size=None)

    assert [plan(TPU, "channel decay", rows).chunk_size for rows in (256, 512)] == [64, 32]
    assert [plan(GPU, "channel decay", rows).rule.chunk is None for rows in (1, 16, 128)] == [True, False, True]
    assert plan(GPU, "no decay", 64).rule.chunk is not None


def test_loops_of_steps_are_as_long_as_the_states_that_they_keep_allow():
    def size(chip, rows):
        arguments = shapes(SELECTIVE_SCAN, "fixed A", rows=rows, columns=128, tokens=100)
        return plan_kernel(chip, SELECTIVE_SCAN, *arguments, dtype=jnp.float32, chunk_size=None).chunk_size

    assert [size(TPU, rows) for rows in (1, 64, 184)] == [64, 64, 32]
    assert [size(GPU, rows) for rows in (1, 64, 1024)] == [64, 64, 16]


@pytest.mark.parametrize(
    ("driver", "dtype", "precision"),
    [
        (run_pallas_tpu, "float32", "HIGHEST"),
        (run_pallas_gpu, "float32", "TF32_TF32_F32_X3"),
        (run_pallas_tpu, "bfloat16", "DEFAULT"),
        (run_pallas_gpu, "bfloat16", "BF16_BF16_F32"),
        (run_pallas_gpu, "float16", "DEFAULT"),
    ],
)
def test_products_are_as_precise_as_the_inputs(driver, dtype, precision):
    run = functools.partial(driver, GLA, dtype=dtype)
    jaxpr = str(jax.make_jaxpr(run)(*shapes(GLA, "no decay", dtype=dtype)))
    precisions = [line for line in jaxpr.splitlines() if "precision=" in line]
    assert precisions
    assert all(precision in line for line in precisions)


def test_costs_are_those_of_the_true_sizes():
    """4 C K V for the state and 2 C² (K + V) in the chunk, without padding and with little else."""
    chunk, rows, columns, tokens = 16, 20, 130, 48
    state, inputs = shapes(GLA, "no decay", rows=rows, columns=columns, tokens=tokens)
    plan = plan_kernel(TPU, GLA, state, inputs, dtype=jnp.float32, chunk_size=chunk)
    cost = estimate_cost(plan, inputs, backward=False)
    heads = 2 * 3 * tokens // chunk
    products = heads * (4 * chunk * rows * columns + 2 * chunk**2 * (rows + columns))
    assert products <= cost.flops <= 1.2 * products
    assert cost.transcendentals == 0
    assert cost.bytes_accessed == 4 * 2 * 3 * (2 * tokens * (rows + columns) + 2 * rows * columns)


def test_what_threads_tell_one_another_waits_for_a_barrier():
    """The states that a loop of single steps keeps are in memory that all threads of a program share."""

    def backward(state, inputs):
        results, pullback = jax.vjp(
            functools.partial(run_pallas_gpu, SELECTIVE_SCAN, dtype="float32"), state, inputs
        )
        return pullback(results)

    assert str(jax.make_jaxpr(backward)(*shapes(SELECTIVE_SCAN, "fixed A"))).count("debug_barrier") == 1
