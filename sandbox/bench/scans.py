"""Seconds of every implementation of every update rule beside softmax attention: `sandbox-bench scans`.

The outputs of an implementation are compared with those of the first one of its case before it is timed.

The operations of a case are those of one step of the rule's definition, or of its `jax.vjp`, times tokens, heads
and sequences. They are the same for all implementations: further or repeated work of one of them does not
count. For attention they are those of jax's own form of it, the masked half included. The traffic of a case is its
inputs, outputs and gradients, each read or written once.
"""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from sandbox.bench.cases import ATTENTION, DIRECTIONS, Case, Setting, bind, make_cases
from sandbox.bench.ceilings import Ceilings
from sandbox.cost.timing import Call, Seconds, measure, speed_ratio, spread
from sandbox.scans.rms_error import relative_rms_errors

TOLERANCES = {"float32": 1e-4, "bfloat16": 5e-2}
"""Largest relative root-mean-square difference of any tensor between two that compute the same."""


@dataclass(frozen=True)
class ScanRow:
    """One implementation of one case; None for what was not or could not be measured."""

    rule: str
    kind: str
    implementation: str
    direction: str
    """`forward`, or `forward+backward` with the gradients of all inputs."""
    length: int
    batch: int
    heads: int
    rows: int
    columns: int
    dtype: str
    chunk_size: int | None
    """Tokens of a chunk. None: the rule's default."""
    median_seconds: float | None = None
    low_seconds: float | None = None
    """The 10 % quantile over rounds."""
    high_seconds: float | None = None
    """The 90 % quantile over rounds."""
    speed_to_recurrent: float | None = None
    """Median seconds of `recurrent` over the median seconds here."""
    speed_to_recurrent_low: float | None = None
    """Lower end of the 95 % bootstrap interval over rounds."""
    speed_to_recurrent_high: float | None = None
    speed_to_attention: float | None = None
    """Median seconds of the fastest form of attention over the median seconds here."""
    flops: float | None = None
    bytes: int | None = None
    matmul_share: float | None = None
    """Operations of the case per second, over the measured rate of a large matrix product."""
    copy_share: float | None = None
    """Traffic of the case per second, over the measured rate of a large copy."""
    difference: float | None = None
    """Largest relative root-mean-square difference of any tensor from the first implementation's."""
    not_timed: str = ""
    """Why there are no seconds."""


@dataclass(frozen=True)
class _Programs:
    """The compiled implementations of one case, or the errors of those that do not compile."""

    case: Case
    calls: dict[str, Future[Call]]
    argument_bytes: int


@dataclass(frozen=True)
class _ComparedScan:
    """One implementation of one case, compiled and compared; or the reason why it is not."""

    case: Case
    implementation: str
    call: Call | None = None
    flops: float = 0.0
    bytes: int = 0
    difference: float | None = None
    not_timed: str = ""


def time_scans(
    setting: Setting,
    ceilings: Ceilings,
    *,
    rounds: int,
    report: Callable[[str], None],
    make_cases: Callable[[Setting, int], Iterable[Case]] = make_cases,
) -> Iterator[ScanRow]:
    """Times the implementations of each length and direction, interleaved in the rounds of `measure`.

    Clears jax's caches after each, because Linux limits the memory mappings of a process and each compiled program
    has some.

    `ceilings` are the rates that shares refer to; `report` is called with a line of progress.
    """
    for tokens in setting.lengths:
        cases = list(make_cases(setting, tokens))
        for direction in DIRECTIONS:
            report(f"T={tokens} B={setting.batch_at(tokens)} {direction}: {len(cases)} kinds of inputs")
            programs = _compile_all(cases, direction)
            tolerance = TOLERANCES[setting.dtype]
            candidates = [one for of_case in programs for one in _compare(of_case, direction, tolerance)]
            calls = {number: one.call for number, one in enumerate(candidates) if one.call is not None}
            seconds = measure(calls, rounds=rounds)
            timed = [(one, seconds.get(number)) for number, one in enumerate(candidates)]
            attention = [times for one, times in timed if one.case.rule == ATTENTION and times is not None]
            fastest = min(attention, key=lambda times: float(np.median(times)), default=None)
            for case in cases:
                of_case = [(one, times) for one, times in timed if one.case is case]
                recurrent = next((times for one, times in of_case if one.implementation == "recurrent"), None)
                for one, times in of_case:
                    labels = _labels(one, direction, tokens, setting)
                    yield ScanRow(**labels, **_measurements(one, times, ceilings, recurrent, fastest))
            jax.clear_caches()


def _compile_all(cases: Sequence[Case], direction: str) -> list[_Programs]:

    def compile_one(lowered: jax.stages.Lowered, arguments: Sequence[Any]) -> Call:
        return functools.partial(lowered.compile(), *arguments)

    programs = []
    workers = ThreadPoolExecutor(os.cpu_count())
    try:
        for case in cases:
            calls: dict[str, Future[Call]] = {}
            arguments: list[Any] = []
            for name, function in case.functions.items():
                try:
                    bound, *arguments = bind(direction, function, case.inputs)
                    calls[name] = workers.submit(compile_one, jax.jit(bound).lower(*arguments), arguments)
                except RuntimeError as error:
                    calls[name] = Future()
                    calls[name].set_exception(error)
            for name, prepare in case.kernels.items():
                calls[name] = workers.submit(prepare, direction, tuple(arguments))
            programs.append(_Programs(case, calls, sum(leaf.nbytes for leaf in jax.tree.leaves(arguments))))
        wait(call for of_case in programs for call in of_case.calls.values())
    finally:  # an interruption does not wait for what has not started
        workers.shutdown(wait=False, cancel_futures=True)
    return programs


def _compare(programs: _Programs, direction: str, tolerance: float) -> Iterator[_ComparedScan]:
    """Runs every implementation of a case once, and compares it with the first that runs."""
    case = programs.case
    expected: tuple[str, list[np.ndarray]] | None = None
    flops, moved = 0.0, 0
    for name, future in programs.calls.items():
        try:
            call = future.result()
            found = [np.asarray(leaf) for leaf in jax.tree.leaves(call())]
        except RuntimeError as error:  # includes NotImplementedError and what compilers and devices raise
            yield _ComparedScan(case, name, not_timed=str(error).partition("\n")[0])
            continue
        if expected is None:
            expected = name, found
            flops = case.count_flops(direction)
            moved = programs.argument_bytes + sum(leaf.nbytes for leaf in found)
        first, tensors = expected
        difference = max(float(relative_rms_errors(*pair).max()) for pair in zip(tensors, found, strict=True))
        if not difference <= tolerance:
            reason = f"differs by {difference:.1e} from {first}"
            yield _ComparedScan(case, name, difference=difference, not_timed=reason)
            continue
        yield _ComparedScan(case, name, call, flops, moved, difference)


def _labels(one: _ComparedScan, direction: str, tokens: int, setting: Setting) -> dict[str, Any]:
    return {
        "rule": one.case.rule,
        "kind": one.case.kind,
        "implementation": one.implementation,
        "direction": direction,
        "length": tokens,
        "batch": setting.batch_at(tokens),
        "heads": setting.heads,
        "rows": setting.rows,
        "columns": setting.columns,
        "dtype": setting.dtype,
        "chunk_size": setting.chunk_size,
        "difference": one.difference,
        "not_timed": one.not_timed,
    }


def _measurements(
    one: _ComparedScan,
    times: Seconds | None,
    ceilings: Ceilings,
    recurrent: Seconds | None,
    attention: Seconds | None,
) -> dict[str, Any]:
    if times is None:
        return {}
    seconds = spread(times)
    measurements = {
        "median_seconds": seconds.middle,
        "low_seconds": seconds.low,
        "high_seconds": seconds.high,
        "flops": one.flops,
        "bytes": one.bytes,
        "matmul_share": one.flops / seconds.middle / ceilings.flops_per_second,
        "copy_share": one.bytes / seconds.middle / ceilings.bytes_per_second,
    }
    if recurrent is not None:
        low, middle, high = speed_ratio(times, recurrent)
        measurements |= {
            "speed_to_recurrent": middle,
            "speed_to_recurrent_low": low,
            "speed_to_recurrent_high": high,
        }
    if attention is not None:
        measurements["speed_to_attention"] = speed_ratio(times, attention).middle
    return measurements
