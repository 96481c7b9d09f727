"""What models cost against the length of a sequence: counted in their programs, and timed.

The rounds of `measure` interleave all models and lengths of one phase.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sandbox.cost.flops import Compiled, analyse
from sandbox.cost.programs import PHASES, Program, Tracing
from sandbox.cost.state import num_parameters, state_bytes, state_sizes, zoology_bytes
from sandbox.cost.timing import Call, Seconds, measure, spread
from sandbox.models.lm import LanguageModel


@dataclass(frozen=True)
class CostRow:
    """One model in one phase at one length; None for what was not or could not be measured."""

    series: str
    """Name of the model: its label, and the keys that tell it from others of that label."""
    phase: str
    """`training` (loss and gradients, without the optimiser's update), `prefill`, or `decoding` of one token."""
    length: int
    """Tokens of a sequence; in decoding, tokens of the context that the state has space for."""
    batch: int
    """Sequences in one call."""
    implementation: str
    """Implementations of the scans and attention that run."""
    parameters: int
    flops_per_token: float | None = None
    """Operations, counting every loop iteration."""
    median_seconds: float | None = None
    """Seconds per token, as are the next two; tokens of all sequences count."""
    low_seconds: float | None = None
    """The 10 % quantile over rounds."""
    high_seconds: float | None = None
    """The 90 % quantile over rounds."""
    tokens_per_second: float | None = None
    peak_bytes: int | None = None
    """Arguments, results and temporary arrays of one call, as compiled."""
    compiled_flops: float | None = None
    """Operations of one call as the compiler counts them, with one iteration of each loop."""
    bytes_moved: float | None = None
    """Bytes that one call reads and writes, counted the same way."""
    intensity: float | None = None
    """Compiled operations per byte moved."""
    missing: str = ""
    """Why nothing was measured, or no seconds."""


@dataclass(frozen=True)
class StateRow:
    """What one sequence of a model carries after `length` tokens."""

    series: str
    length: int
    state_kind: str
    """A value of `StateKind`; or `all`, everything; or `zoology`, what that convention counts."""
    bytes: int


def count_states(models: Mapping[str, LanguageModel], lengths: Iterable[int]) -> Iterator[StateRow]:
    """Bytes of every model at every length, by kind; nothing for a length that a model cannot have."""
    for length in lengths:
        for series, model in models.items():
            try:
                sizes = state_sizes(model, length)
            except ValueError:
                continue
            for kind, size in sizes.items():
                yield StateRow(series, length, kind.value, size.bytes)
            yield StateRow(series, length, "all", state_bytes(model, length))
            yield StateRow(series, length, "zoology", zoology_bytes(model, length))


def measure_models(
    models: Mapping[str, LanguageModel],
    phase: str,
    lengths: Sequence[int],
    *,
    tokens_per_call: int,
    rounds: int,
    report: Callable[[str], None],
) -> Iterator[tuple[CostRow, Seconds | None]]:
    """Yields the costs of every model at every length, and its seconds per token in each round.

    Clears jax's caches at the end, because Linux limits the memory mappings of a process and each compiled program
    has some.

    Args:
        models: by the name of their series.
        phase: a name in `PHASES`.
        lengths: tokens of a sequence.
        tokens_per_call: tokens of all sequences of a call in training and prefill. Decoding has one sequence.
        rounds: timed repetitions. 0: programs are counted, and nothing is compiled.
        report: called with a line of progress.
    """
    candidates = []
    for length in lengths:
        batch = 1 if phase == "decoding" else max(1, tokens_per_call // length)
        report(f"{phase}, T={length}, {batch} sequence{'s' * (batch > 1)}: {len(models)} models")
        for series, model in models.items():
            candidates.append(_prepare(series, model, phase, batch, length, rounds))
    calls = {number: one.call for number, one in enumerate(candidates) if one.call is not None}
    if calls:
        report(f"{phase}: timing {len(calls)} programs in {rounds} rounds")
    seconds = measure(calls, rounds=rounds)
    for number, one in enumerate(candidates):
        per_token = seconds[number] / one.tokens if number in seconds else None
        yield _row(one, phase, per_token), per_token
    jax.clear_caches()


@dataclass(frozen=True)
class _PreparedModel:
    """A model with its program for one phase and length, counted and perhaps compiled."""

    series: str
    model: LanguageModel
    length: int
    batch: int
    tokens: int = 1
    tracing: Tracing | None = None
    call: Call | None = None
    compiled: Compiled | None = None
    missing: str = ""


def _prepare(
    series: str, model: LanguageModel, phase: str, batch: int, length: int, rounds: int
) -> _PreparedModel:
    make = functools.partial(_PreparedModel, series, model, length, batch)
    try:
        program = PHASES[phase](model, batch, length)
        make = functools.partial(make, tokens=program.tokens, tracing=program.trace())
        if rounds == 0:
            return make(missing="not timed")
        call, compiled = compile_call(program, model, phase, batch, length)
    except (ValueError, RuntimeError) as error:  # too long for the model; what compilers and devices raise
        return make(missing=str(error).partition("\n")[0])
    return make(call=call, compiled=analyse(compiled))


def compile_call(
    program: Program, model: LanguageModel, phase: str, batch: int, length: int
) -> tuple[Call, jax.stages.Compiled]:
    """A call that runs the program on arrays once, and the compiled program.

    Tokens are drawn at random. Decoding overwrites its state, as in use; counters start as if all tokens but one
    had been read, so that caches are full.
    """
    vocabulary = model.embedding.shape[0]
    variables, *others = program.arguments
    leaves, structure = jax.tree.flatten(variables)  # a flat list is the fastest to pass

    def run(leaves: Any, *others: Any) -> Any:
        return program.function(jax.tree.unflatten(structure, leaves), *others)

    def draw(leaf: Any) -> Any:
        is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
        return jax.random.randint(jax.random.key(0), leaf.shape, 0, vocabulary) if is_shape else leaf

    if phase != "decoding":
        others = jax.tree.map(draw, others)
        compiled = jax.jit(run).lower(leaves, *others).compile()
        return functools.partial(compiled, leaves, *others), compiled

    tokens = draw(others[1])
    state = jax.tree.map(
        lambda leaf: leaf + (length - 1 if jnp.issubdtype(leaf.dtype, jnp.integer) else 0),
        model.init_state(batch, length),
    )
    compiled = jax.jit(run, donate_argnums=1).lower(leaves, state, tokens).compile()

    def step() -> Any:
        nonlocal state
        logits, state = compiled(leaves, state, tokens)
        return logits

    return step, compiled


def _row(one: _PreparedModel, phase: str, per_token: Seconds | None) -> CostRow:
    low, median, high = (None, None, None) if per_token is None else spread(per_token)
    compiled = one.compiled or Compiled(None, None, None)
    return CostRow(
        series=one.series,
        phase=phase,
        length=one.length,
        batch=one.batch,
        implementation="" if one.tracing is None else ", ".join(one.tracing.implementations),
        parameters=num_parameters(one.model),
        flops_per_token=one.tracing and one.tracing.flops_per_token,
        median_seconds=median,
        low_seconds=low,
        high_seconds=high,
        tokens_per_second=None if median is None else 1 / median,
        peak_bytes=compiled.peak_bytes,
        compiled_flops=compiled.flops,
        bytes_moved=compiled.bytes_moved,
        intensity=compiled.intensity,
        missing=one.missing,
    )
