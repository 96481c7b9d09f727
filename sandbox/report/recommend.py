"""Recommendations: the cheapest model that was measured to recall enough.

A model is recommended only for a difficulty that it was tested at; nothing is interpolated. If no measured model
recalls enough, there is no recommendation.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sandbox.errors import InputError
from sandbox.report.drawing import Drawing, NothingToDraw
from sandbox.report.fonts import text_width
from sandbox.report.frontier import pareto
from sandbox.report.points import COUNTS, check_axis, config_keys, make_points, varying_keys
from sandbox.report.series import TASK, name_series, series_names
from sandbox.report.slices import choose_slice, difficulties, parse_slice
from sandbox.report.style import (
    COLUMN_WIDTH,
    PAGE_WIDTH,
    RC,
    WHITE_EDGE,
    accuracy_axis,
    axis_name,
    format_size,
    series_style,
    shown_names,
)

LENGTHS = ("length", "task.length")
"""Default difficulties, as the name of a slice or a key of the config."""

_COLUMN, _LEGEND_HANDLE = 0.75, 0.5  # inches


def measured(
    records: pd.DataFrame, cost: str = "state_bytes", along: str | None = None
) -> tuple[pd.DataFrame, str]:
    """One table row per model and difficulty that it was tested at, and the name of the difficulty.

    Args:
        records: see `sandbox.tables.collect`.
        cost: the column to keep low.
        along: the difficulty: the key of numbered slices, such as `pairs`, or a numeric key of the config. None:
            the length if several were tested, else the key of the first numbered slice.

    Returns:
        Columns `series`, `model` (the series, and what tells its sizes apart), `at` (the value of the difficulty),
        `cost`, `accuracy` with `low` and `high`, and the counts of seeds.

    Raises InputError for columns that the records do not have, and for records of several tasks.
    """
    check_axis(records, cost, "--cost")
    keys = varying_keys(records)
    if TASK in keys:
        tasks = ", ".join(sorted(records[TASK].unique()))
        raise InputError(f"{TASK}: these records are of several tasks ({tasks}); give those of one")
    slices = {name: parse_slice(name) for name in difficulties(records["slice"])}
    slice_keys = list(dict.fromkeys(key for key, number in slices.values() if number is not None))
    numeric = [key for key in config_keys(records) if key in keys and pd.api.types.is_numeric_dtype(records[key])]
    if along is None:
        along = next((name for name in (*LENGTHS, *slice_keys) if name in (*slice_keys, *numeric)), None)
    if along is None or along not in (*slice_keys, *numeric):
        choices = ", ".join([*slice_keys, *numeric]) or "none in these records"
        raise InputError(f"--along {along!r}: no numbers of this name; there are {choices}")
    points = make_points(records, [cost])
    if along in slice_keys:
        points = points[points["slice"].map(lambda name: parse_slice(name)[0] == along and name in slices)]
        points = points.assign(at=points["slice"].map(lambda name: parse_slice(name)[1]))
    else:
        points = points[points["slice"] == choose_slice(points["slice"])]
        points = points.assign(at=points[along].astype(float))
    points = points[points[cost].notna() & points["accuracy"].notna()]
    axis = "at" if along in slice_keys else along
    points = points.assign(
        series=name_series(points, keys, [cost, axis]), model=name_series(points, keys, [axis]), cost=points[cost]
    )
    columns = ["series", "model", "at", "cost", "accuracy", "low", "high", *COUNTS]
    return points[columns].reset_index(drop=True), along


def recommend(points: pd.DataFrame, recalls: Sequence[float]) -> pd.DataFrame:
    """For every difficulty and needed recall, the cheapest model that reached it on average, and the runner-up.

    The runner-up is the cheapest model of another series; `margin` is its cost relative to that of the first.
    Cells are empty if no measured model reached the recall.

    Args:
        points: the table that `measured` returns.
        recalls: the needed recalls, from 0 to 1.
    """
    rows = []
    for at in sorted(points["at"].unique()):
        for recall in recalls:
            reached = points[(points["at"] == at) & (points["accuracy"] >= recall)]
            ranked = reached.sort_values(["cost", "accuracy"], ascending=[True, False], kind="stable")
            row: dict[str, object] = {"at": at, "recall": recall}
            if len(ranked):
                first = ranked.iloc[0]
                row |= {name: first[name] for name in ("model", "cost", "accuracy", "low", "high", "num_seeds")}
                others = ranked[ranked["series"] != first["series"]]
                if len(others):
                    second = others.iloc[0]
                    row |= {"runner_up": second["model"], "runner_up_cost": second["cost"]}
                    row["margin"] = second["cost"] / first["cost"] if first["cost"] else np.inf
            rows.append(row)
    columns = ["model", "cost", "accuracy", "low", "high", "num_seeds", "runner_up", "runner_up_cost", "margin"]
    return pd.DataFrame(rows, columns=["at", "recall", *columns])


def recommendation_map(points: pd.DataFrame, along: str, cost: str) -> Drawing:
    """For each difficulty, the series that is cheapest at each needed recall, with the measured points.

    Raises NothingToDraw if nothing was measured.
    """
    if points.empty:
        raise NothingToDraw(f"no model with an accuracy and a value of {cost}")
    names, levels = series_names(points), sorted(points["at"].unique())
    regions = []
    for at in levels:
        column = points[points["at"] == at]
        reached = 0.0
        for index in pareto(column["cost"], column["accuracy"]):
            best = column.iloc[index]
            regions.append(
                best[["series", "model", "at", "cost"]].to_dict() | {"from": reached, "to": best["accuracy"]}
            )
            reached = best["accuracy"]
    frame = points.merge(pd.DataFrame(regions), how="left", on=["series", "model", "at", "cost"])
    return Drawing(frame, _draw(frame, names, levels, along, cost))


def _draw(frame: pd.DataFrame, names: list[str], levels: list[float], along: str, cost: str) -> Figure:
    texts = shown_names(names).values()
    legend = _LEGEND_HANDLE + max(text_width(text, RC["legend.fontsize"]) for text in texts)
    width = max(min(PAGE_WIDTH, max(1.0 + _COLUMN * len(levels), 2.2) + legend), COLUMN_WIDTH + legend)
    figure = Figure(figsize=(width, 2.8), layout="constrained")
    ax = figure.add_subplot()
    accuracy_axis(ax)
    ax.grid(False)
    ax.set_ylabel("Recall needed")
    ax.set_xlabel(f"{axis_name(along).capitalize()}; cheapest by {axis_name(cost).lower()}")
    ax.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    ax.set_xlim(-0.55, len(levels) - 0.45)
    for row in frame.to_dict("records"):
        number, column = names.index(row["series"]), levels.index(row["at"])
        style = series_style(number)
        if row["to"] == row["to"]:
            color = {"color": style["color"], "alpha": 0.3, "edgecolor": "white", "linewidth": 0.8, "zorder": 1}
            ax.bar(column, row["to"] - row["from"], 0.9, bottom=row["from"], **color)
            if row["to"] - row["from"] > 0.06:
                text = format_size(cost, row["cost"])
                ax.text(column - 0.43, (row["from"] + row["to"]) / 2, text, va="center", fontsize=6)
        aside = 0.7 * ((number + 0.5) / len(names) - 0.5)
        marker = {"color": style["color"], "marker": style["marker"], "linestyle": "", "markersize": 3.5}
        ax.plot(column + aside, row["accuracy"], **marker, **WHITE_EDGE)
    for number, text in enumerate(texts):
        style = series_style(number) | {"linestyle": ""}
        ax.plot([], [], **style, label=text)
    figure.legend(loc="outside right upper")
    return figure
