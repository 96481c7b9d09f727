"""The frontier: recall against a cost, one line per series, over the Pareto frontier of each task.

The x axis may also be any key of the config. Such a key is no cost, and has no frontier; a series without the key,
such as softmax attention against `mixer.d_state`, is a horizontal line. Or it is `slice`: the number of each slice
of a task, such as its length, with the size of a model in the name of its series.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike

from sandbox.report.crowd import MOST_LINES, crowd_notes, foremost
from sandbox.report.drawing import Drawing, NothingToDraw
from sandbox.report.fonts import text_width
from sandbox.report.intervals import INTERVAL, interval_in_words
from sandbox.report.panels import panel_grid
from sandbox.report.points import COUNTS
from sandbox.report.rates import EDGE_MARK, EDGE_NOTE
from sandbox.report.series import TASK, name_series, series_names, sort_by_series
from sandbox.report.slices import parse_slice
from sandbox.report.style import (
    CHANCE,
    COLUMN_WIDTH,
    RC,
    WHITE_EDGE,
    accuracy_axis,
    axis_name,
    chance_lines,
    footnote,
    legend_beside,
    mark_edges,
    series_style,
    shown_names,
    size_axis,
)
from sandbox.results import MEASURES, SLICE

DIFFICULTY = "difficulty"
"""The column of the numbers of slices, if they are the x axis."""

_Y_NAMES = {
    "accuracy": ("Test accuracy", "Recall accuracy"),
    "exact": ("Share of test sequences without an error", "Sequences all right"),
    "free_running": ("Share of test sequences without an error, free-running", "All right, free-running"),
    "macro_accuracy": ("Test accuracy, averaged over classes", "Accuracy over classes"),
}
_CAPTION = (
    f"{{score}} ({{slice}}) at the learning rate that validation chose: mean over seeds with its {INTERVAL}."
)
_FRONTIER_CAPTION = " Grey: the best mean of all series of a task up to there."
_FRONTIER = "Pareto frontier"
_OTHERS = "others"
_ASIDE, _MOST_ASIDE = 0.035, 0.16  # inches between two series at one x, and of all together
_OWN_ENTRIES = (_FRONTIER, _OTHERS, CHANCE["label"])
_BESIDE = "Points at one place stand side by side."
_GREY: dict[str, Any] = {"color": "0.7", "linewidth": 0.6, "marker": ".", "markersize": 2, "zorder": 1.5}
_MOST_INSIDE, _WIDEST_INSIDE = 6, 1.8  # more series or inches than this have their legend beside the axes
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


def frontier(points: pd.DataFrame, keys: Sequence[str], x: str, slice_name: str, y: str = "accuracy") -> Drawing:
    """The points of one slice against the column `x`, or of all slices if that is `slice`, one panel per task.

    `y` is what stands in the column `accuracy`. Raises NothingToDraw if no point has both x and accuracy.
    """
    shown, what = points[points["slice"] == slice_name], slice_name
    if x == SLICE:
        shown, x, what = _by_difficulty(points, keys), DIFFICULTY, "each slice"
    task = [TASK] if TASK in keys and x != TASK else []
    names = [name_series(rows, keys, [x]) for rows in by_task(shown, task)]
    frame = shown.assign(series=pd.concat(names) if names else "")
    frame = frame[["label", "series", *task, "slice", x, "accuracy", "low", "high", "chance", "edge", *COUNTS]]
    is_cost = x in MEASURES
    drawable = frame[["accuracy", x] if is_cost else ["accuracy"]].notna().all(axis=1)
    lacking = f"no {x} or no score" if is_cost else "no score"
    left_out = frame.loc[~drawable, "series"].drop_duplicates()
    notes = [f"{name} is left out, it has {lacking}" for name in left_out]
    for label in points["label"].drop_duplicates():
        if label not in set(shown["label"]):
            notes.append(f"{label} is left out, it was not scored on {slice_name}")
    frame = frame[drawable].reset_index(drop=True)
    if frame[x].isna().all():
        score = "an accuracy" if y == "accuracy" else y
        raise NothingToDraw(f"no point with {score} and a value of {x}")
    unbeaten = [rows.index[pareto(rows[x], rows["accuracy"])] for rows in by_task(frame, task)] if is_cost else []
    frame["on_frontier"] = frame.index.isin(np.concatenate([[], *unbeaten]))
    lines = sort_by_series(frame, series_names(frame), [*task, x])
    nearest = "Pareto frontier" if is_cost else "best"
    named = foremost(_nearness(frame, task, x), MOST_LINES)
    crowd = crowd_notes(len(named), frame["series"].nunique(), f"named, those nearest the {nearest}")
    figure = _draw(lines, task, x, y, named, crowd)
    caption = _CAPTION.format(score=_Y_NAMES[y][0], slice=what) + (_FRONTIER_CAPTION if is_cost else "")
    return Drawing(lines.rename(columns={"accuracy": y}), figure, caption, [*notes, *crowd])


def _by_difficulty(points: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The points of slices with a number, which is their x; of each task only those of its first key of slices."""
    parsed = [parse_slice(name) for name in points["slice"]]
    numbers = np.array([number for _, number in parsed], float)
    points = points.assign(difficulty=numbers, slice_key=[key for key, _ in parsed])
    numbered = points[points[DIFFICULTY].notna()]
    if numbered.empty:
        raise NothingToDraw("no slice has a number")
    tasks = numbered[TASK] if TASK in keys else pd.Series("", numbered.index)
    first = numbered.groupby(tasks, sort=False)["slice_key"].transform("first")
    return numbered[numbered["slice_key"] == first]


def _slice_keys(frame: pd.DataFrame) -> str:
    """What the numbers of the slices are, such as `length`, or `length or gap` of several tasks."""
    return " or ".join(dict.fromkeys(parse_slice(name)[0] for name in frame["slice"])).capitalize()


def by_task(frame: pd.DataFrame, task: Sequence[str]) -> list[pd.DataFrame]:
    """The table rows of each task, because scores of different tasks do not compete."""
    return [rows for _, rows in frame.groupby(TASK, sort=False)] if task else [frame]


def _nearness(frame: pd.DataFrame, task: Sequence[str], x: str) -> pd.Series:
    """How far the best point of each series is below the best accuracy at no higher cost, with a minus sign."""
    below = pd.Series(0.0, frame.index)
    for rows in by_task(frame, task):
        ordered = rows.sort_values([x, "accuracy"], ascending=[True, False])
        below[ordered.index] = ordered["accuracy"] - ordered["accuracy"].cummax()
    return below.groupby(frame["series"], sort=False).max()


def _draw(
    frame: pd.DataFrame, task: Sequence[str], x: str, y: str, named: Sequence[str], notes: Sequence[str]
) -> Figure:
    x_title = _slice_keys(frame) if x == DIFFICULTY else axis_name(x)
    panels = {str(rows[TASK].iloc[0]) if task else "": rows for rows in by_task(frame, task)}
    if len(panels) == 1:
        figure = Figure(figsize=(COLUMN_WIDTH, 2.5), layout="constrained")
        axes = [figure.add_subplot()]
        accuracy_axis(axes[0])
        axes[0].set_ylabel(_Y_NAMES[y][1])
    else:
        figure, grid = panel_grid(list(panels), x_title, _Y_NAMES[y][1])
        axes = list(grid.values())
    for ax, rows in zip(axes, panels.values(), strict=True):
        size_axis(ax, x, frame[x].dropna().tolist())
        chance_lines(ax, rows["chance"])
        _lines(ax, rows, x, named)
        ax.set_xlabel(x_title if len(panels) == 1 else "")
    edges = EDGE_NOTE if frame["edge"].any() else ""
    beside = any(len(_shared(rows, x, named)) for rows in panels.values())
    footnote(figure, interval_in_words(frame["num_seeds"]), edges, _BESIDE if beside else "", *notes)
    lines = {line.get_label(): line for ax in axes for line in ax.lines}
    texts = [_FRONTIER, *shown_names(named, _OWN_ENTRIES).values(), _OTHERS, CHANCE["label"]]
    handles = [lines[text] for text in texts if text in lines]
    # Matplotlib's own "best" ignores the intervals, so each position is tried.
    widest = max(text_width(str(line.get_label()), RC["legend.fontsize"]) for line in handles)
    fits = len(panels) == 1 and len(handles) <= _MOST_INSIDE + 1 and widest <= _WIDEST_INSIDE
    for position in _LEGEND_POSITIONS if fits else ():
        legend = axes[0].legend(handles=handles, loc=position)
        figure.draw_without_rendering()
        if not _covers(legend, axes[0]):
            return figure
        legend.remove()
    legend_beside(figure, handles)
    return figure


def _lines(ax: Axes, rows: pd.DataFrame, x: str, named: Sequence[str]) -> None:
    """Draws the frontier, the named series in colour and with their intervals, and the others in grey."""
    best = rows[rows["on_frontier"]].sort_values(x)
    if not best.empty:
        step_x = [*best[x], max(rows[x].max(), best[x].max())]
        step_y = [*best["accuracy"], best["accuracy"].iloc[-1]]
        ax.step(step_x, step_y, where="post", color="0.85", linewidth=5, zorder=1, label=_FRONTIER)
    for name, line in rows.groupby("series", sort=False):
        if name not in named:
            ax.plot(line[x], line["accuracy"], **_GREY, label=_OTHERS)
            _level(ax, line[line[x].isna()], _GREY["color"], _OTHERS)
    step = min(_ASIDE, _MOST_ASIDE / max(len(named), 1))
    shared = _shared(rows, x, named)
    for number, (name, text) in enumerate(shown_names(named, _OWN_ENTRIES).items()):
        line, style = rows[rows["series"] == name], series_style(number)
        at_edge = line.fillna({x: rows[x].max()})[line["edge"] != ""]
        _level(ax, line[line[x].isna()], style["color"], text)
        line = line[line[x].notna()]
        spread = line.dropna(subset=["low", "high"])
        inches = step * (number - (len(named) - 1) / 2) if line[x].isin(shared).any() else 0
        aside = ScaledTranslation(inches, 0, ax.figure.dpi_scale_trans)
        bars = ax.vlines(spread[x], spread["low"], spread["high"], color=style["color"], linewidth=0.9, zorder=2)
        bars.set_transform(bars.get_transform() + aside)
        if not line.empty:
            (drawn,) = ax.plot(line[x], line["accuracy"], **style, **WHITE_EDGE, label=text)
            drawn.set_transform(drawn.get_transform() + aside)
        mark_edges(ax, at_edge[x], at_edge["accuracy"], EDGE_MARK, inches)


def _shared(rows: pd.DataFrame, x: str, named: Sequence[str]) -> pd.Series:
    """The places on the x axis at which several of these series have a point."""
    at = rows[rows["series"].isin(named)].dropna(subset=x).drop_duplicates(["series", x])[x]
    return at[at.duplicated()]


def _level(ax: Axes, rows: pd.DataFrame, color: str, text: str) -> None:
    """Draws points without x as horizontal lines in bands, their intervals."""
    for accuracy, low, high in rows[["accuracy", "low", "high"]].to_numpy(float):
        ax.axhline(accuracy, color=color, linestyle="--", linewidth=1, label=text, zorder=2)
        if low < high:
            ax.axhspan(low, high, color=color, alpha=0.12, linewidth=0, zorder=1)


def _covers(legend: Legend, ax: Axes) -> bool:
    box = legend.get_window_extent().padded(2)
    intervals = [found for found in ax.collections if isinstance(found, LineCollection)]
    lines = [line.get_transform().transform(line.get_xydata()) for line in ax.lines]
    bars = [ax.transData.transform(bar) for bars in intervals for bar in bars.get_segments()]
    for path in (*lines, *bars):
        for start, end in itertools.pairwise(path):
            if any(box.contains(*point) for point in np.linspace(start, end, 50)):
                return True
        if len(path) == 1 and box.contains(*path[0]):
            return True
    return False
