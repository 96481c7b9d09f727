"""Compares every driver of a rule with its step in float64, gradients included, in one call.

from sandbox.scans.check import check_rule
check_rule(MY_RULE)
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from sandbox.scans.argument_checks import check_chunk_size
from sandbox.scans.dispatch import IMPLEMENTATIONS
from sandbox.scans.drivers.recurrent import run_recurrent
from sandbox.scans.kernels.gpu import run_pallas_gpu
from sandbox.scans.kernels.tpu import run_pallas_tpu
from sandbox.scans.layout import cast, initial_states, next_power_of_two, padding_of, states_with_columns
from sandbox.scans.rms_error import relative_rms_errors
from sandbox.scans.rule import Example, Inputs, Rule, State
from sandbox.scans.rules.parts.draws import draw_batch

DRIVERS: Mapping[str, Callable[..., Any]] = IMPLEMENTATIONS | {
    "pallas_tpu": functools.partial(run_pallas_tpu, interpret=True),
    "pallas_gpu": functools.partial(run_pallas_gpu, interpret=True),
}
"""All that can be checked: implementations, and the kernels of each platform in Pallas' interpreter."""

CHECKED = tuple(name for name in DRIVERS if name != "pallas" or jax.default_backend() != "cpu")
"""What is checked by default: on an accelerator this includes its compiled kernels."""

QUICKLY_COMPILED: dict[str, int | bool] = {"xla_backend_optimization_level": 0}
"""Compiler options for programs that run once or twice."""

if jax.__version_info__ < (0, 11):
    QUICKLY_COMPILED["xla_cpu_use_fusion_emitters"] = False  # later versions are fast and lack this option

TOLERANCES: Mapping[str, float] = {"float32": 1e-5, "bfloat16": 2e-2}
"""Largest relative RMS error of a tensor in any sequence, by the precision of the inputs."""

BATCH = 2
PREFIX = 5
"""Number of tokens processed before those that are checked."""


Tensors = dict[str, Any]
"""Outputs, final state, and the gradient of the initial state and of each input, by name."""


class Fixture(NamedTuple):
    """Arguments of a rule, and cotangents (`weights`) of its outputs and final state."""

    state: State
    inputs: Inputs
    weights: Any


def check_rule(
    rule: Rule,
    *,
    kinds: Iterable[str] | None = None,
    implementations: Iterable[str] = CHECKED,
    lengths: Iterable[int] | None = None,
    chunk_size: int = 16,
    rows: int = 5,
    columns: int = 6,
    dtype: DTypeLike = jnp.float32,
) -> None:
    """Checks each implementation of `rule` on its examples, at lengths around the edges of a chunk.

    Outputs, final state, and the gradients of each input and of the initial state are compared with `rule.step`,
    run token by token in float64. `kinds` are names in `rule.examples`; None means all.

    Raises:
        AssertionError: an error exceeds `TOLERANCES`, a tensor is not finite, padding changes the state, or
            columns mix although `column_inputs` says otherwise. The message has one line per problem.
        ValueError: there is nothing to check, or an argument is unknown.
    """
    kinds = _known("kinds", rule.examples if kinds is None else kinds, rule.examples)
    implementations = _known("implementations", implementations, DRIVERS)
    _known("dtype", [jnp.dtype(dtype).name], TOLERANCES)
    check_chunk_size(chunk_size)
    if lengths is None:
        lengths = (1, chunk_size - 1, 3 * chunk_size + 5, chunk_size)
    problems = []
    for kind in kinds:
        draw = functools.partial(draw_fixture, rule, rule.examples[kind], rows=rows, columns=columns, dtype=dtype)
        if rule.chunk is not None and not padding_is_exact(rule, draw(tokens=chunk_size)):
            problems.append(f"chunk, {kind}: a token after the end changes the state")
        if rule.column_inputs and columns_mix(rule, draw(tokens=2)):
            inputs = ", ".join(sorted(rule.column_inputs))
            problems.append(
                f"step, {kind}: columns mix, of which column_inputs ({inputs}) and column_states say no"
            )
        for number, tokens in enumerate(lengths):
            fixture = draw(tokens=tokens, heads=1, from_nothing=True) if number % 2 else draw(tokens=tokens)
            expected = reference(rule, fixture)
            for name in implementations:
                found = values_and_gradients(rule, fixture, name, chunk_size=chunk_size)
                problems += [f"{name}, {kind}, T={tokens}: {line}" for line in differences(expected, found, dtype)]
    if problems:
        raise AssertionError("\n".join([f"{rule.name} is not what its step says:", *problems]))


def _known(argument: str, asked: Iterable[str], names: Iterable[str]) -> list[str]:
    asked, names = [asked] if isinstance(asked, str) else list(asked), list(names)
    unknown = [name for name in asked if name not in names]
    if unknown or not asked:
        raise ValueError(f"{argument}={unknown or asked} is not among {', '.join(map(repr, names)) or 'none'}")
    return asked


def draw_fixture(
    rule: Rule,
    example: Example,
    *,
    tokens: int,
    rows: int,
    columns: int,
    heads: int = 3,
    dtype: DTypeLike = jnp.float32,
    from_nothing: bool = False,
) -> Fixture:
    """Draws inputs in `dtype`, and a state: the empty one or that after a few other tokens."""
    longest = max(64, next_power_of_two(PREFIX + tokens))  # few programs serve all lengths
    drawn, empty, reached = jax.tree.map(np.asarray, _draw(rule, example, longest, heads, rows, columns))
    inputs = jax.tree.map(
        lambda leaf: leaf if leaf.shape[1] == 1 else leaf[:, PREFIX : PREFIX + tokens], cast(drawn, dtype)
    )
    state = empty if from_nothing else reached
    shapes = jax.eval_shape(functools.partial(run_recurrent, rule, dtype=jnp.float32), state, inputs)
    rng = np.random.default_rng(0)
    return Fixture(
        state, inputs, jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    )


@functools.partial(jax.jit, static_argnums=range(6), compiler_options=QUICKLY_COMPILED)
def _draw(
    rule: Rule, example: Example, tokens: int, heads: int, rows: int, columns: int
) -> tuple[Inputs, State, State]:
    """Inputs, the empty state, and the state after the first `PREFIX` tokens."""
    sizes = {"heads": heads, "rows": rows, "columns": columns}
    inputs = draw_batch(example, jax.random.key(0), batch=BATCH, tokens=tokens, **sizes)
    empty = initial_states(rule, inputs)
    first = jax.tree.map(lambda leaf: leaf if leaf.shape[1] == 1 else leaf[:, :PREFIX], inputs)
    return inputs, empty, run_recurrent(rule, empty, first, dtype=jnp.float32)[1]


def reference(rule: Rule, fixture: Fixture) -> Tensors:
    """`values_and_gradients` by the definition in float64."""
    with jax.enable_x64(True):
        exact = cast(jax.tree.map(np.asarray, fixture), np.float64)
        return _compiled(rule, "recurrent", None, QUICKLY_COMPILED)(exact)


def values_and_gradients(
    rule: Rule, fixture: Fixture, implementation: str, *, chunk_size: int | None = None
) -> Tensors:
    """Outputs, final state and all gradients by name, by one of `DRIVERS`."""
    # Only interpreted drivers are compiled otherwise than users compile them.
    options = None if implementation in IMPLEMENTATIONS else QUICKLY_COMPILED
    return _compiled(rule, implementation, chunk_size, options)(fixture)


def _compiled(
    rule: Rule, implementation: str, chunk_size: int | None, options: dict[str, Any] | None
) -> Callable[[Fixture], Tensors]:
    driver = DRIVERS[implementation]

    def run(fixture: Fixture) -> Tensors:
        dtype = jnp.result_type(*jax.tree.leaves(fixture.inputs))

        def forward(state: State, inputs: Inputs) -> tuple[Any, State]:
            return driver(rule, state, inputs, dtype=dtype, chunk_size=chunk_size)

        (outputs, final_state), pullback = jax.vjp(forward, fixture.state, fixture.inputs)
        d_state, d_inputs = pullback(
            jax.tree.map(lambda w, leaf: w.astype(leaf.dtype), fixture.weights, (outputs, final_state))
        )
        tensors = {"outputs": outputs, "final state": final_state, "gradient of state": d_state}
        tensors |= {f"gradient of {name}": leaf for name, leaf in d_inputs._asdict().items() if leaf is not None}
        return tensors

    return jax.jit(run, compiler_options=options)


def differences(
    expected: Tensors, found: Tensors, dtype: DTypeLike, names: Sequence[str] | None = None
) -> list[str]:
    """One line per tensor and sequence with an error that is too large or NaN; `names` are those of sequences."""
    tolerance = TOLERANCES[jnp.dtype(dtype).name]
    lines = []
    for tensor, tree in expected.items():
        for one, other in zip(jax.tree.leaves(tree), jax.tree.leaves(found[tensor]), strict=True):
            for sequence, error in enumerate(relative_rms_errors(one, other)):
                if not error <= tolerance:
                    name = f"sequence {sequence}" if names is None else names[sequence]
                    lines.append(f"{tensor}: relative RMS error {error:.1e} > {tolerance:.0e} ({name})")
    return lines


def padding_is_exact(rule: Rule, fixture: Fixture) -> bool:
    """Whether a chunk of padding leaves the state exactly as it was."""
    assert rule.chunk is not None
    size = max(leaf.shape[1] for leaf in jax.tree.leaves(fixture.inputs))
    state = jax.tree.map(lambda leaf: leaf[0, 0], fixture.state)
    nothing = jax.tree.map(
        lambda leaf, number: jnp.full((size, *leaf.shape[3:]), number, jnp.float32),
        fixture.inputs,
        padding_of(rule, fixture.inputs),
    )
    after, _ = jax.jit(rule.chunk, compiler_options=QUICKLY_COMPILED)(state, nothing)
    return jax.tree.all(jax.tree.map(lambda one, other: bool(jnp.all(one == other)), state, after))


def columns_mix(rule: Rule, fixture: Fixture) -> bool:
    """Whether the first column of inputs and states affects other columns, or states without columns.

    It must not if a kernel processes each column in a different program.
    """
    has_columns = states_with_columns(rule, fixture.state)

    def change_first_column(leaf: Any, is_column: bool) -> Any:
        return leaf + (np.arange(leaf.shape[-1]) == 0) if is_column else leaf

    def without_first_column(leaf: Any, is_column: bool) -> Any:
        return leaf[..., 1:] if is_column else leaf

    def run(state: State, inputs: Inputs) -> Any:
        outputs, state = run_recurrent(rule, state, inputs, dtype=jnp.float32)
        rest = jax.tree.map(without_first_column, state, has_columns)
        return jax.tree.map(lambda leaf: without_first_column(leaf, True), outputs), rest

    state, inputs = fixture.state, fixture.inputs
    changed = {
        name: change_first_column(leaf, name in rule.column_inputs)
        for name, leaf in inputs._asdict().items()
        if leaf is not None
    }
    compiled = jax.jit(run, compiler_options=QUICKLY_COMPILED)
    before = compiled(state, inputs)
    after = compiled(jax.tree.map(change_first_column, state, has_columns), inputs._replace(**changed))
    return not jax.tree.all(jax.tree.map(lambda one, other: np.allclose(one, other, rtol=1e-5), before, after))
