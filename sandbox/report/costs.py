"""What models cost against the length of a sequence: a line a series, from tables of `sandbox-cost`."""

import pathlib
from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, LogLocator, NullLocator

from sandbox.report.drawing import FORMATS, Drawing, NothingToDraw
from sandbox.report.style import (
    COLUMN_WIDTH,
    RC,
    format_bytes,
    legend_beside,
    log_ticks,
    series_style,
    size_axis,
)


def cumulative_flops(costs: pd.DataFrame) -> Drawing:
    """Operations of reading a whole sequence (prefill): a square where every token looks at all, else a line."""
    rows = costs[costs["phase"] == "prefill"]
    numbers = rows[["series", "length"]].assign(flops=rows["flops_per_token"] * rows["length"])
    return _drawing("cumulative_flops", numbers, "flops", "Reading a sequence [FLOPs]", EngFormatter(sep=""))


def decode_memory(states: pd.DataFrame) -> Drawing:
    """Everything that a sequence carries from token to token: caches that grow, states that do not."""
    numbers = states.loc[states["state_kind"] == "all", ["series", "length", "bytes"]]
    text = FuncFormatter(lambda size, _: format_bytes(size))
    return _drawing("decode_memory", numbers, "bytes", "State carried per sequence", text, base=2)


def seconds_per_token(costs: pd.DataFrame, phase: str) -> Drawing:
    """Median seconds per token with the 10 and 90 % quantiles of rounds."""
    columns = ["series", "length", "median_seconds", "low_seconds", "high_seconds"]
    numbers = costs.loc[costs["phase"] == phase, columns]
    title = f"{phase.capitalize()}, time per token"
    return _drawing(f"{phase}_time", numbers, "median_seconds", title, EngFormatter(unit="s"))


def write_costs(
    costs: pd.DataFrame, states: pd.DataFrame, folder: pathlib.Path, formats: Sequence[str]
) -> tuple[list[pathlib.Path], list[str]]:
    """Writes every figure that the tables have numbers for; the files, and why others are not drawn."""
    plans = {
        "cumulative_flops": lambda: cumulative_flops(costs),
        "decode_memory": lambda: decode_memory(states),
        "decoding_time": lambda: seconds_per_token(costs, "decoding"),
        "training_time": lambda: seconds_per_token(costs, "training"),
        "prefill_time": lambda: seconds_per_token(costs, "prefill"),
    }
    files, notes = [], []
    with mpl.rc_context(RC):
        for name, draw in plans.items():
            for suffix in (*FORMATS, "csv"):
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)
            try:
                files += draw().write(folder, formats)
            except NothingToDraw as reason:
                notes.append(f"{name}: not drawn, {reason}")
    return files, notes


def _drawing(name: str, numbers: pd.DataFrame, y: str, title: str, text: Formatter, base: int = 10) -> Drawing:
    numbers = numbers[numbers[y].notna() & (numbers[y] > 0)].reset_index(drop=True)
    if numbers["length"].nunique() < 2:
        raise NothingToDraw("fewer than two lengths have numbers")
    figure = Figure(figsize=(COLUMN_WIDTH, 2.5), layout="constrained")
    ax = figure.add_subplot()
    size_axis(ax, "length", numbers["length"].tolist())
    for number, (series, rows) in enumerate(numbers.groupby("series", sort=False)):
        rows, style = rows.sort_values("length"), series_style(number)
        if "low_seconds" in rows:
            ax.vlines(
                rows["length"], rows["low_seconds"], rows["high_seconds"], color=style["color"], linewidth=0.9
            )
        ax.plot(rows["length"], rows[y], **style, markeredgecolor="white", markeredgewidth=0.4, label=series)
    ax.set_yscale("log", base=base)
    subs = log_ticks(float(numbers[y].min()), float(numbers[y].max())) if base == 10 else (1,)
    ax.yaxis.set_major_locator(LogLocator(base=base, subs=subs))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(text)
    ax.set_ylabel(title)
    legend_beside(figure, list(numbers["series"].unique()))
    return Drawing(name, numbers, figure)
