"""The frontier: recall against a cost, one line per series, over the Pareto frontier of each task."""

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
from sandbox.report.points import COUNTS, TASK, name_series, series_names, sort_by_series
from sandbox.report.style import COLUMN_WIDTH, accuracy_axis, legend_beside, series_style, size_axis

_CAPTION = (
    "Test accuracy ({slice}) at the learning rate that validation chose: mean over seeds with its 95 % bootstrap "
    "interval. Grey: the best mean of all series of a task up to there."
)
_FRONTIER = "Pareto frontier"
_MOST_INSIDE = 6  # more series than this have their legend beside the axes
_LEGEND_POSITIONS: tuple[Any, ...] = (
    "lower right",
    "upper left",
    "upper right",
    "lower left",
    "center right",
    "center left",
)


def pareto(cost: ArrayLike, score: ArrayLike) -> np.ndarray:
    """Indices of the points on the Pareto frontier, by increasing cost.

    A point is off the frontier if another costs no more and scores no less, and is better in one of the two. Of
    equal points the first is kept.
    """
    costs, scores = np.asarray(cost, dtype=float), np.asarray(score, dtype=float)
    best, kept = -np.inf, []
    for index in np.lexsort((-scores, costs)):
        if scores[index] > best:
            best = scores[index]
            kept.append(index)
    return np.array(kept, dtype=int)


def frontier(points: pd.DataFrame, keys: Sequence[str], x: str, slice_name: str) -> Drawing:
    """The points of one slice against the column `x`; raises NothingToDraw if no point has both x and accuracy."""
    shown = points[points["slice"] == slice_name]
    frame = shown.assign(series=name_series(shown, keys, [x]))
    task = [TASK] if TASK in keys and x != TASK else []
    frame = frame[["label", "series", *task, "slice", x, "accuracy", "low", "high", *COUNTS]]
    drawable = frame[[x, "accuracy"]].notna().all(axis=1)
    left_out = frame.loc[~drawable, "series"].drop_duplicates()
    notes = [f"{name} is left out, it has no {x} or no score" for name in left_out]
    for label in points["label"].drop_duplicates():
        if label not in set(shown["label"]):
            notes.append(f"{label} is left out, it was not scored on {slice_name}")
    frame = frame[drawable].reset_index(drop=True)
    if frame.empty:
        raise NothingToDraw(f"no point with an accuracy and a value of {x}")
    unbeaten = [rows.index[pareto(rows[x], rows["accuracy"])] for rows in _by_task(frame)]
    frame["on_frontier"] = frame.index.isin(np.concatenate(unbeaten))
    frame = sort_by_series(frame, series_names(frame), [x])
    return Drawing(frame, _draw(frame, x), _CAPTION.format(slice=slice_name), notes)


def _by_task(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The table rows of each task, because scores of different tasks do not compete."""
    return [rows for _, rows in frame.groupby(TASK, sort=False)] if TASK in frame else [frame]


def _draw(frame: pd.DataFrame, x: str) -> Figure:
    names = series_names(frame)
    figure = Figure(figsize=(COLUMN_WIDTH, 2.5), layout="constrained")
    ax = figure.add_subplot()
    size_axis(ax, x, frame[x].tolist())
    accuracy_axis(ax)
    ax.set_ylabel("Recall accuracy")
    for number, rows in enumerate(_by_task(frame)):
        on_frontier = rows[rows["on_frontier"]].sort_values(x)
        step_x = [*on_frontier[x], max(rows[x].max(), on_frontier[x].max())]
        step_y = [*on_frontier["accuracy"], on_frontier["accuracy"].iloc[-1]]
        ax.step(
            step_x, step_y, where="post", color="0.85", linewidth=5, zorder=1, label="" if number else _FRONTIER
        )
    for number, name in enumerate(names):
        rows, style = frame[frame["series"] == name], series_style(number)
        spread = rows.dropna(subset=["low", "high"])
        ax.vlines(spread[x], spread["low"], spread["high"], color=style["color"], linewidth=0.9, zorder=2)
        ax.plot(rows[x], rows["accuracy"], **style, markeredgecolor="white", markeredgewidth=0.4, label=name)
    # Matplotlib's own "best" ignores the intervals, so each position is tried.
    for position in _LEGEND_POSITIONS if len(names) <= _MOST_INSIDE else ():
        legend = ax.legend(loc=position)
        figure.draw_without_rendering()
        if not _covers(legend, ax):
            return figure
        legend.remove()
    legend_beside(figure, [_FRONTIER, *names])
    return figure


def _covers(legend: Legend, ax: Axes) -> bool:
    box = legend.get_window_extent().padded(2)
    intervals = [found for found in ax.collections if isinstance(found, LineCollection)]
    lines = [ax.transData.transform(line.get_xydata()) for line in ax.lines]
    bars = [ax.transData.transform(bar) for bars in intervals for bar in bars.get_segments()]
    for path in (*lines, *bars):
        for start, end in itertools.pairwise(path):
            if any(box.contains(*point) for point in np.linspace(start, end, 50)):
                return True
        if len(path) == 1 and box.contains(*path[0]):
            return True
    return False
