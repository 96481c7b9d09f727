"""Figures of what models cost against the length of a sequence, drawn from the tables of `sandbox-cost`."""

import pathlib
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, LogLocator, NullLocator

from sandbox.report.drawing import Drawing, NothingToDraw, draw_all
from sandbox.report.style import (
    COLUMN_WIDTH,
    WHITE_EDGE,
    format_bytes,
    legend_beside,
    log_ticks,
    series_style,
    shown_names,
    size_axis,
)


def cumulative_flops(costs: pd.DataFrame) -> Drawing:
    """FLOPs of reading a whole sequence (prefill): quadratic in its length for full attention, else linear."""
    rows = costs[costs["phase"] == "prefill"]
    frame = rows[["series", "length"]].assign(flops=rows["flops_per_token"] * rows["length"])
    return _draw(frame, "flops", "Reading a sequence [FLOPs]", EngFormatter(sep=""))


def decode_memory(states: pd.DataFrame) -> Drawing:
    """Bytes carried from token to token: caches grow with the length, fixed states do not."""
    frame = states.loc[states["state_kind"] == "all", ["series", "length", "bytes"]]
    text = FuncFormatter(lambda size, _: format_bytes(size))
    return _draw(frame, "bytes", "State carried per sequence", text, base=2)


def seconds_per_token(costs: pd.DataFrame, phase: str) -> Drawing:
    """Median seconds per token, with a bar from the 10 % to the 90 % quantile of the rounds."""
    columns = ["series", "length", "median_seconds", "low_seconds", "high_seconds"]
    frame = costs.loc[costs["phase"] == phase, columns]
    title = f"{phase.capitalize()}, time per token"
    return _draw(frame, "median_seconds", title, EngFormatter(unit="s"))


def write_costs(
    costs: pd.DataFrame, states: pd.DataFrame, folder: pathlib.Path, formats: Sequence[str]
) -> tuple[list[pathlib.Path], list[str]]:
    """Writes every figure that the tables have values for; returns the files, and why others are not drawn."""
    figures = {
        "cumulative_flops": lambda: cumulative_flops(costs),
        "decode_memory": lambda: decode_memory(states),
        "decoding_time": lambda: seconds_per_token(costs, "decoding"),
        "training_time": lambda: seconds_per_token(costs, "training"),
        "prefill_time": lambda: seconds_per_token(costs, "prefill"),
    }
    drawn = draw_all(figures, folder, formats, [*costs["series"], *states["series"]])
    return drawn.files, drawn.notes


def _draw(frame: pd.DataFrame, y: str, title: str, text: Formatter, base: int = 10) -> Drawing:
    frame = frame[frame[y].notna() & (frame[y] > 0)].reset_index(drop=True)
    if frame["length"].nunique() < 2:
        raise NothingToDraw("fewer than two lengths have values")
    figure = Figure(figsize=(COLUMN_WIDTH, 2.5), layout="constrained")
    ax = figure.add_subplot()
    size_axis(ax, "length", frame["length"].tolist())
    names = shown_names(frame["series"])
    for number, (series, rows) in enumerate(frame.groupby("series", sort=False)):
        rows, style = rows.sort_values("length"), series_style(number)
        if "low_seconds" in rows:
            ax.vlines(
                rows["length"], rows["low_seconds"], rows["high_seconds"], color=style["color"], linewidth=0.9
            )
        ax.plot(rows["length"], rows[y], **style, **WHITE_EDGE, label=names[str(series)])
    ax.set_yscale("log", base=base)
    subs = log_ticks(float(frame[y].min()), float(frame[y].max())) if base == 10 else (1,)
    ax.yaxis.set_major_locator(LogLocator(base=base, subs=subs))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(text)
    ax.set_ylabel(title)
    legend_beside(figure, ax.lines)
    return Drawing(frame, figure)
