"""The tables of `sandbox-cost` in the terminal, and the data frame of crossovers."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter
from rich.box import SIMPLE_HEAD
from rich.table import Table

from sandbox.cli.display import console
from sandbox.cost.model_cost import CostRow, StateRow
from sandbox.cost.timing import BoundedCrossover, Seconds, crossovers_of_counts, crossovers_of_times
from sandbox.report.style import format_bytes

_CERTAIN = 0.975
"""Share of resamples with a crossover from which on its 95 % interval has both ends."""


def print_states(states: Sequence[StateRow], lengths: Sequence[int]) -> None:
    """Prints the bytes carried: also what one sends to hand a sequence to another machine."""
    sizes = {(row.series, row.length): row.bytes for row in states if row.state_kind == "all"}
    title = "bytes to hand over a sequence of T tokens: everything that decoding carries"
    _print(title, sizes, lengths, format_bytes)
    kinds: dict[str, dict[str, int]] = {}
    for row in states:
        if row.length == lengths[-1] and row.state_kind != "all":
            kinds.setdefault(row.series, {})[row.state_kind] = row.bytes
    names = list(dict.fromkeys(kind for of_one in kinds.values() for kind in of_one if kind != "zoology"))
    parts = {(series, kind): of_one[kind] for series, of_one in kinds.items() for kind in of_one}
    title = f"what it is after {lengths[-1]} tokens, and what Zoology's convention counts of it"
    _print(title, parts, [*names, "zoology"], format_bytes)


def print_costs(rows: Sequence[CostRow]) -> None:
    """Prints operations, time and peak memory of every phase, a line per model, and why something is missing."""
    for phase in dict.fromkeys(row.phase for row in rows):
        of_phase = {(row.series, row.length): row for row in rows if row.phase == phase}
        lengths = sorted({length for _, length in of_phase})
        show = functools.partial(_print, cells=of_phase, columns=lengths)
        show(f"{phase}: FLOPs per token, against T", text=_flops)
        if any(row.median_seconds is not None for row in of_phase.values()):
            show(f"{phase}: time per token, median and 10-90 % of rounds, against T", text=_time)
            show(f"{phase}: peak memory of one call, against T", text=_peak)
    missing = {(row.series, row.phase, row.missing): None for row in rows if row.missing not in ("", "not timed")}
    for series, phase, reason in missing:
        console.print(f"missing: {series}, {phase}: {reason}")


def _flops(row: CostRow) -> str:
    return "–" if row.flops_per_token is None else EngFormatter(places=1, sep="")(row.flops_per_token)


def _time(row: CostRow) -> str:
    times = row.median_seconds, row.low_seconds, row.high_seconds
    texts = [EngFormatter(unit="s", places=1)(number) for number in times if number is not None]
    return "{} ({} to {})".format(*texts) if texts else "–"


def _peak(row: CostRow) -> str:
    return "–" if row.peak_bytes is None else format_bytes(row.peak_bytes)


def _print(
    title: str, cells: Mapping[tuple[str, Any], Any], columns: Sequence[Any], text: Callable[[Any], str]
) -> None:
    """Prints a line per series and a column for each of `columns`; a missing cell is empty."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    for column in columns:
        table.add_column(f"{column:,}".replace(",", " ") if isinstance(column, int) else column, justify="right")
    for series in dict.fromkeys(series for series, _ in cells):
        values = (cells.get((series, column)) for column in columns)
        table.add_row(series, *("" if value is None else text(value) for value in values))
    console.print(table)


def crossovers_frame(
    against: Sequence[str],
    rows: Sequence[CostRow],
    states: Sequence[StateRow],
    seconds: Mapping[str, Mapping[str, Mapping[int, Seconds]]],
) -> pd.DataFrame:
    """A table row for each length at which the curve of a model crosses that of a model it is compared with.

    `cheaper` says where the model is the cheaper one: `beyond` the length or `up to` it; without a length,
    `everywhere` or `nowhere` from `low` to `high`. For times, `low` and `high` are the ends of the 95 % interval;
    for counts, the counted lengths next to the crossover.

    Args:
        against: the series that the others are compared with.
        seconds: phase -> series -> length -> seconds per token of each round.
    """
    found: list[dict[str, Any]] = []
    for measure, curves in _counted_curves(rows, states).items():
        for series, other in itertools.product(curves, against):
            if other in curves and series not in against:
                pair = {"measure": measure, "series": series, "against": other}
                found += [pair | one for one in _crossovers(curves[series], curves[other], crossovers_of_counts)]
    for phase, timed in seconds.items():
        for series, other in itertools.product(timed, against):
            if other in timed and series not in against:
                pair = {"measure": f"time per token, {phase}", "series": series, "against": other}
                found += [pair | one for one in _crossovers(timed[series], timed[other], crossovers_of_times)]
    columns = ["measure", "series", "against", "cheaper", "length", "low", "high", "share"]
    return pd.DataFrame(found, columns=columns)


def _counted_curves(
    rows: Sequence[CostRow], states: Sequence[StateRow]
) -> dict[str, dict[str, dict[int, int | float]]]:
    """What is counted -> series -> length -> count."""
    reading: dict[str, dict[int, int | float]] = {}
    for row in rows:
        if row.phase == "prefill" and row.flops_per_token:
            reading.setdefault(row.series, {})[row.length] = row.flops_per_token * row.length
    carried: dict[str, dict[int, int | float]] = {}
    for state in states:
        if state.state_kind == "all" and state.bytes:
            carried.setdefault(state.series, {})[state.length] = state.bytes
    return {"FLOPs of reading a sequence": reading, "bytes carried": carried}


def _crossovers(mine: Mapping[int, Any], others: Mapping[int, Any], cross: Callable) -> Iterator[dict[str, Any]]:
    lengths = sorted(mine.keys() & others.keys())
    crossovers: list[BoundedCrossover] = cross(mine, others)
    for one in crossovers:
        cheaper = "beyond" if one.overtakes else "up to"
        yield {"cheaper": cheaper, "length": one.length, "low": one.low, "high": one.high, "share": one.share}
    if lengths and not crossovers:
        mine_is_less = np.median(mine[lengths[-1]]) < np.median(others[lengths[-1]])
        yield {"cheaper": "everywhere" if mine_is_less else "nowhere", "low": lengths[0], "high": lengths[-1]}


def print_crossovers(crossovers: pd.DataFrame) -> None:
    """Prints the crossovers in words."""
    table = Table(
        title="where one is cheaper than the other, by interpolation", title_justify="left", box=SIMPLE_HEAD
    )
    for head in ("measure", "model", "against", "is cheaper"):
        table.add_column(head)
    for row in crossovers.to_dict("records"):
        table.add_row(row["measure"], row["series"], row["against"], crossover_in_words(row))
    console.print(table)


def crossover_in_words(row: Mapping[Any, Any]) -> str:
    """A row of the table of crossovers in words."""
    low, high = f"{row['low']:.0f}", f"{row['high']:.0f}"
    if math.isnan(row["length"]):
        return f"{row['cheaper']} from {low} to {high}"
    text = f"{row['cheaper']} {row['length']:.0f} ({low} to {high})"
    return text if row["share"] >= _CERTAIN else f"{text}; in {100 * row['share']:.0f} % of resamples"
