"""The tables of `sandbox-cost`: for the terminal, and all numbers as data frames."""

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter
from rich.box import SIMPLE_HEAD
from rich.table import Table

from sandbox.cli.display import console
from sandbox.cost.model_cost import Row, StateRow
from sandbox.cost.timing import Crossing, Seconds, crossings_of_counts, crossings_of_times
from sandbox.report.style import format_bytes

_CERTAIN = 0.975
"""Share of resamples from which on an interval of 95 % has both its ends."""


def print_machine() -> None:
    """What the numbers are from."""
    device = jax.devices()[0]
    console.print(
        f"jax {jax.__version__} on {device.platform} ({device.device_kind}), {os.cpu_count()} cores, "
        f"load average of the last minute {os.getloadavg()[0]:.1f}"
    )


def print_states(states: Sequence[StateRow], lengths: Sequence[int]) -> None:
    """What is carried, which is also what one would send to hand a sequence to another machine."""
    sizes = {(row.series, row.length): row.bytes for row in states if row.kind == "all"}
    title = "bytes to hand over a sequence of T tokens: everything that decoding carries"
    _print(title, sizes, lengths, format_bytes)
    kinds: dict[str, dict[str, int]] = {}
    for row in states:
        if row.length == lengths[-1] and row.kind != "all":
            kinds.setdefault(row.series, {})[row.kind] = row.bytes
    names = list(dict.fromkeys(kind for of_one in kinds.values() for kind in of_one if kind != "zoology"))
    parts = {(series, kind): of_one[kind] for series, of_one in kinds.items() for kind in of_one}
    title = f"what it is after {lengths[-1]} tokens, and what Zoology's convention counts of it"
    _print(title, parts, [*names, "zoology"], format_bytes)


def print_costs(rows: Sequence[Row]) -> None:
    """Arithmetic, time and peak memory of every phase, a line a model; and the reasons for what is missing."""
    for phase in dict.fromkeys(row.phase for row in rows):
        of_phase = {(row.series, row.length): row for row in rows if row.phase == phase}
        lengths = sorted({length for _, length in of_phase})

        def show(title: str, text: Callable[[Row], str], of_phase: Any = of_phase, lengths: Any = lengths) -> None:
            _print(title, of_phase, lengths, text)

        show(f"{phase}: FLOPs per token, against T", _flops)
        if any(row.median_seconds is not None for row in of_phase.values()):
            show(f"{phase}: time per token, median and 10-90 % of rounds, against T", _time)
            show(f"{phase}: peak memory of one call, against T", _peak)
    missing = {(row.series, row.phase, row.missing): None for row in rows if row.missing not in ("", "not timed")}
    for series, phase, reason in missing:
        console.print(f"missing: {series}, {phase}: {reason}")


def _flops(row: Row) -> str:
    return "–" if row.flops_per_token is None else EngFormatter(places=1, sep="")(row.flops_per_token)


def _time(row: Row) -> str:
    times = row.median_seconds, row.low_seconds, row.high_seconds
    texts = [EngFormatter(unit="s", places=1)(number) for number in times if number is not None]
    return "{} ({} to {})".format(*texts) if texts else "–"


def _peak(row: Row) -> str:
    return "–" if row.peak_bytes is None else format_bytes(row.peak_bytes)


def _print(
    title: str, cells: Mapping[tuple[str, Any], Any], columns: Sequence[Any], text: Callable[[Any], str]
) -> None:
    """A line a series, a column for each of `columns`; empty where there is no cell."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    for column in columns:
        table.add_column(f"{column:,}".replace(",", " ") if isinstance(column, int) else column, justify="right")
    for series in dict.fromkeys(series for series, _ in cells):
        values = (cells.get((series, column)) for column in columns)
        table.add_row(series, *("" if value is None else text(value) for value in values))
    console.print(table)


def crossings_frame(
    against: Sequence[str],
    rows: Sequence[Row],
    states: Sequence[StateRow],
    seconds: Mapping[str, Mapping[str, Mapping[int, Seconds]]],
) -> pd.DataFrame:
    """A row for each length at which the curve of a model crosses that of one that it stands `against`.

    `cheaper` says where the model is the cheaper one: `beyond` the length or `up to` it; without a length,
    `everywhere` or `nowhere` from `low` to `high`. These two are the ends of the 95 % interval of times, and the
    counted lengths next to the crossover of what is counted.

    Args:
        against: series that the others are compared with.
        rows: of `measure_models`.
        states: of `count_states`.
        seconds: phase -> series -> length -> seconds per token of each round.
    """
    found: list[dict[str, Any]] = []
    for measure, curves in _counted_curves(rows, states).items():
        for series, other in itertools.product(curves, against):
            if other in curves and series not in against:
                pair = {"measure": measure, "series": series, "against": other}
                found += [pair | one for one in _crossings(curves[series], curves[other], crossings_of_counts)]
    for phase, timed in seconds.items():
        for series, other in itertools.product(timed, against):
            if other in timed and series not in against:
                pair = {"measure": f"time per token, {phase}", "series": series, "against": other}
                found += [pair | one for one in _crossings(timed[series], timed[other], crossings_of_times)]
    columns = ["measure", "series", "against", "cheaper", "length", "low", "high", "share"]
    return pd.DataFrame(found, columns=columns)


def _counted_curves(
    rows: Sequence[Row], states: Sequence[StateRow]
) -> dict[str, dict[str, dict[int, int | float]]]:
    """What is counted -> series -> length -> number."""
    reading: dict[str, dict[int, int | float]] = {}
    for row in rows:
        if row.phase == "prefill" and row.flops_per_token:
            reading.setdefault(row.series, {})[row.length] = row.flops_per_token * row.length
    carried: dict[str, dict[int, int | float]] = {}
    for state in states:
        if state.kind == "all" and state.bytes:
            carried.setdefault(state.series, {})[state.length] = state.bytes
    return {"FLOPs of reading a sequence": reading, "bytes carried": carried}


def _crossings(mine: Mapping[int, Any], others: Mapping[int, Any], cross: Callable) -> Iterator[dict[str, Any]]:
    lengths = sorted(mine.keys() & others.keys())
    crossings: list[Crossing] = cross(mine, others)
    for one in crossings:
        cheaper = "beyond" if one.overtakes else "up to"
        yield {"cheaper": cheaper, "length": one.length, "low": one.low, "high": one.high, "share": one.share}
    if lengths and not crossings:
        mine_is_less = np.median(mine[lengths[-1]]) < np.median(others[lengths[-1]])
        yield {"cheaper": "everywhere" if mine_is_less else "nowhere", "low": lengths[0], "high": lengths[-1]}


def print_crossings(crossings: pd.DataFrame) -> None:
    """The crossovers in words."""
    table = Table(
        title="where one is cheaper than the other, by interpolation", title_justify="left", box=SIMPLE_HEAD
    )
    for head in ("measure", "model", "against", "is cheaper"):
        table.add_column(head)
    for row in crossings.to_dict("records"):
        table.add_row(row["measure"], row["series"], row["against"], in_words(row))
    console.print(table)


def in_words(row: Mapping[Any, Any]) -> str:
    """One row of the frame of crossings."""
    low, high = f"{row['low']:.0f}", f"{row['high']:.0f}"
    if math.isnan(row["length"]):
        return f"{row['cheaper']} from {low} to {high}"
    text = f"{row['cheaper']} {row['length']:.0f} ({low} to {high})"
    return text if row["share"] >= _CERTAIN else f"{text}; in {100 * row['share']:.0f} % of resamples"


def to_frame(rows: Sequence[Row] | Sequence[StateRow]) -> pd.DataFrame:
    """All fields of all rows, with the machine that they were measured on."""
    device = jax.devices()[0]
    machine = {
        "platform": device.platform,
        "device": device.device_kind,
        "cores": os.cpu_count(),
        "versions.jax": jax.__version__,
    }
    return pd.DataFrame([dataclasses.asdict(row) | machine for row in rows])
