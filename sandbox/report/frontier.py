"""Recall against the cost of remembering: a line per series over the Pareto frontier of each task."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from numpy.typing import ArrayLike

from sandbox.report.drawing import Drawing, NothingToDraw
from sandbox.report.points import COUNTS, TASK, name_series
from sandbox.report.style import COLUMN_WIDTH, accuracy_axis, legend_beside, series_style, size_axis

_FRONTIER = "Pareto frontier"
_INSIDE = 6  # more series than this have their legend beside the axes
_PLACES: tuple[Any, ...] = (
    "lower right",
    "upper left",
    "upper right",
    "lower left",
    "center right",
    "center left",
)


def pareto(cost: ArrayLike, score: ArrayLike) -> np.ndarray:
    """Indices of the points that no other point beats, by rising cost.

    A point is beaten by one that costs no more and scores no less, and is better in one of the two. Of equal
    points the first stays.
    """
    costs, scores = np.asarray(cost, dtype=float), np.asarray(score, dtype=float)
    best, kept = -np.inf, []
    for index in np.lexsort((-scores, costs)):
        if scores[index] > best:
            best = scores[index]
            kept.append(index)
    return np.array(kept, dtype=int)


def frontier(points: pd.DataFrame, keys: Sequence[str], x: str, slice_name: str) -> Drawing:
    """The points of one slice against the column `x`; NothingToDraw where no point has both numbers."""
    shown = points[points["slice"] == slice_name]
    numbers = shown.assign(series=name_series(shown, keys, [x]))
    task = [TASK] if TASK in keys and x != TASK else []
    numbers = numbers[["label", "series", *task, "slice", x, "accuracy", "low", "high", *COUNTS]]
    drawable = numbers[[x, "accuracy"]].notna().all(axis=1)
    left_out = numbers.loc[~drawable, "series"].drop_duplicates()
    notes = [f"frontier: {name} is left out, it has no {x} or no score" for name in left_out]
    for label in points["label"].drop_duplicates():
        if label not in set(shown["label"]):
            notes.append(f"frontier: {label} is left out, it was not scored on {slice_name}")
    numbers = numbers[drawable].reset_index(drop=True)
    if numbers.empty:
        raise NothingToDraw(f"no point with an accuracy and a value of {x}")
    unbeaten = [rows.index[pareto(rows[x], rows["accuracy"])] for rows in _by_task(numbers)]
    numbers["on_frontier"] = numbers.index.isin(np.concatenate(unbeaten))
    names = list(dict.fromkeys(numbers["series"]))
    numbers = numbers.sort_values(
        ["series", x], key=lambda column: column.map(names.index) if column.name == "series" else column
    )
    return Drawing("frontier", numbers, _draw(numbers, x), notes)


def _by_task(numbers: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each task; scores of different ones do not compete."""
    return [rows for _, rows in numbers.groupby(TASK, sort=False)] if TASK in numbers else [numbers]


def _draw(numbers: pd.DataFrame, x: str) -> Figure:
    names = list(dict.fromkeys(numbers["series"]))
    figure = Figure(figsize=(COLUMN_WIDTH, 2.5), layout="constrained")
    ax = figure.add_subplot()
    size_axis(ax, x, numbers[x].tolist())
    accuracy_axis(ax)
    ax.set_ylabel("Recall accuracy")
    for number, rows in enumerate(_by_task(numbers)):
        on_frontier = rows[rows["on_frontier"]].sort_values(x)
        step_x = [*on_frontier[x], max(rows[x].max(), on_frontier[x].max())]
        step_y = [*on_frontier["accuracy"], on_frontier["accuracy"].iloc[-1]]
        ax.step(
            step_x, step_y, where="post", color="0.85", linewidth=5, zorder=1, label="" if number else _FRONTIER
        )
    for number, name in enumerate(names):
        rows, style = numbers[numbers["series"] == name], series_style(number)
        spread = rows.dropna(subset=["low", "high"])
        ax.vlines(spread[x], spread["low"], spread["high"], color=style["color"], linewidth=0.9, zorder=2)
        ax.plot(rows[x], rows["accuracy"], **style, markeredgecolor="white", markeredgewidth=0.4, label=name)
    # Matplotlib's own "best" does not see the intervals, so each place is tried.
    for place in _PLACES if len(names) <= _INSIDE else ():
        legend = ax.legend(loc=place)
        figure.draw_without_rendering()
        if not _covers(legend, ax):
            return figure
        legend.remove()
    legend_beside(figure, [_FRONTIER, *names])
    return figure


def _covers(legend: Legend, ax: Axes) -> bool:
    """Whether the legend hides a part of a line or an interval."""
    box = legend.get_window_extent().padded(2)
    intervals = [found for found in ax.collections if isinstance(found, LineCollection)]
    lines = [ax.transData.transform(line.get_xydata()) for line in ax.lines]
    bars = [ax.transData.transform(bar) for bars in intervals for bar in bars.get_segments()]
    for path in (*lines, *bars):
        for start, end in itertools.pairwise(path):
            if any(box.contains(*place) for place in np.linspace(start, end, 50)):
                return True
        if len(path) == 1 and box.contains(*path[0]):
            return True
    return False
