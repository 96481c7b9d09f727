"""Validation accuracy against the learning rate, which shows whether the grid was wide enough."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sandbox.report.crowd import MOST_PANELS, crowd_notes, foremost
from sandbox.report.drawing import Drawing, NothingToDraw
from sandbox.report.intervals import over_seeds
from sandbox.report.panels import explain, panel_grid, shades
from sandbox.report.points import validation_members
from sandbox.report.rates import EDGE_MARK, EDGE_NOTE
from sandbox.report.series import name_series, series_names, sort_by_series
from sandbox.report.style import CHANCE, chance_lines, footnote, mark_edges
from sandbox.results import STATUS_DIVERGED, STATUS_HALVED

_CAPTION = (
    "Validation accuracy of every member and the mean of each learning rate; a ring marks the selected one. "
    "A ring at an end of the grid asks for a wider grid."
)
_TICKS = 5
_MARKS: dict[str, dict[str, Any]] = {
    "selected": {"color": "0.3", "linestyle": "", "marker": "o", "markersize": 7, "markerfacecolor": "none"},
    STATUS_DIVERGED: {"color": "0.3", "linestyle": "", "marker": "x"},
    STATUS_HALVED: {"color": "0.3", "linestyle": "", "marker": "v"},
}


def learning_rates(records: pd.DataFrame, keys: Sequence[str], size: str, slice_name: str) -> Drawing:
    """One panel per series, one line of means per size, and one dot per member.

    A member that diverged has a cross in place of the dot, one that was halved a triangle. Shows the slice `all`
    if the records have it, else `slice_name`. Raises NothingToDraw if there are fewer than two learning rates.
    """
    if not (records["split"] == "validation").any():
        raise NothingToDraw("no records of the validation split")
    members = validation_members(records, slice_name)
    members = members[members["accuracy"].notna()]
    if members["learning_rate"].nunique() < 2:
        raise NothingToDraw("fewer than two learning rates were tried")
    members = members.assign(series=name_series(members, keys, [size]))
    by = list(dict.fromkeys(["label", "series", *keys, size, "learning_rate"]))
    groups = members.groupby(by, sort=False, dropna=False)
    members = members.assign(
        mean=groups["accuracy"].transform("mean"), selected=groups["selected"].transform("any")
    )
    frame = members[[*by, "seed", "status", "accuracy", "mean", "selected", "chance", "edge"]]
    frame = sort_by_series(frame, series_names(members), [size, "learning_rate"])
    best = foremost(frame.groupby("series", sort=False)["mean"].max(), MOST_PANELS)
    notes = crowd_notes(len(best), frame["series"].nunique(), "shown, those that learned most")
    return Drawing(frame, _draw(frame[frame["series"].isin(best)], keys, size, notes), _CAPTION, notes)


def short_rate(rate: float) -> str:
    """A learning rate as short text: 0.0003 is `3e-4`, 0.00032 is `3.2e-4`, infinity is `inf`."""
    if not math.isfinite(rate):
        return str(rate)
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _draw(frame: pd.DataFrame, keys: Sequence[str], size: str, notes: Sequence[str]) -> Figure:
    sizes = sorted(set(frame[size]))
    colors = shades(sizes)
    rates = sorted(set(frame["learning_rate"]))
    figure, panels = panel_grid(series_names(frame), "Learning rate", "Validation accuracy")
    lines = list(dict.fromkeys(["series", *keys, size]))
    for _, line in frame.groupby(lines, sort=False, dropna=False):
        ax, color = panels[line["series"].iloc[0]], colors[line[size].iloc[0]]
        means = line.drop_duplicates("learning_rate")
        ax.plot(means["learning_rate"], means["mean"], color=color)
        for status, members in line.groupby("status"):
            marker = _MARKS.get(str(status), {"marker": "o"})["marker"]
            size_of_dot = 4 if status in _MARKS else 2.5
            style: dict[str, Any] = {"color": color, "linestyle": "", "marker": marker, "markersize": size_of_dot}
            ax.plot(members["learning_rate"], members["accuracy"], **style)
        chosen = means[means["selected"]]
        ax.plot(chosen["learning_rate"], chosen["mean"], **_MARKS["selected"] | {"color": color})
        at_edge = chosen[chosen["edge"] != ""]
        mark_edges(ax, at_edge["learning_rate"], at_edge["mean"], EDGE_MARK)
        chance_lines(ax, line["chance"])
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(FixedLocator(rates[:: math.ceil(len(rates) / _TICKS)]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: short_rate(rate)))
        ax.xaxis.set_minor_locator(NullLocator())
    marks = {name: mark for name, mark in _MARKS.items() if name == "selected" or (frame["status"] == name).any()}
    marks |= {"chance": CHANCE} if frame["chance"].notna().any() else {}
    explain(figure, list(panels.values()), size, sizes, marks)
    edges = EDGE_NOTE if frame["edge"].any() else ""
    seeds = frame.groupby([*lines, "learning_rate"], dropna=False)["seed"].nunique()
    footnote(figure, f"Lines: mean {over_seeds(seeds)}; dots: each seed.", edges, *notes)
    return figure
