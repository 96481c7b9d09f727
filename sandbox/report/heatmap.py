"""Accuracy by two things at once: the size of the state, and the slice or any key of the config."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from sandbox.report.figures import Drawing, NothingToDraw
from sandbox.report.points import COUNTS, format_value, name_series
from sandbox.report.slices import difficulties, parse_slice
from sandbox.report.style import COLUMN_WIDTH, PAGE_WIDTH, axis_name, format_size

SLICE = "slice"
_CELL_WIDTH, _CELL_HEIGHT = 0.33, 0.22


def heatmap(
    points: pd.DataFrame, keys: Sequence[str], rows: str, columns: str = SLICE, slice_name: str | None = None
) -> Drawing:
    """Mean test accuracy, a row per value of `rows` (a size), a column per slice or value of a config key.

    One panel per series; one panel in all where `columns` is what tells the labels apart. With a config key
    as columns the accuracy is that of `slice_name`. A dagger marks a cell with a diverged member. Raises
    NothingToDraw where there are not two cells to compare.
    """
    if columns == SLICE:
        shown = points[points["slice"].isin(difficulties(points["slice"]))]
        shown = shown.assign(panel=name_series(shown, keys, [rows]))
    else:
        shown = points[points["slice"] == slice_name]
        apart = (shown.groupby("label")[columns].nunique(dropna=False) == 1).all()
        pooled = apart and not shown.duplicated([rows, columns]).any()
        shown = shown.assign(panel="" if pooled else name_series(shown, keys, [rows, columns]))
    shown = shown[shown[rows].notna()]
    if len(shown.drop_duplicates([rows, columns])) < 2:
        raise NothingToDraw(f"one value of {rows} and one of {columns} make no map")
    identity = list(dict.fromkeys(["panel", "label", *keys, rows, columns, SLICE]))
    numbers = shown[[*identity, "accuracy", "low", "high", *COUNTS]]
    return Drawing("heatmap", numbers.reset_index(drop=True), _draw(numbers, rows, columns))


def _draw(numbers: pd.DataFrame, rows: str, columns: str) -> Figure:
    panels = list(dict.fromkeys(numbers["panel"]))
    across = difficulties(numbers[SLICE]) if columns == SLICE else _ordered(numbers[columns])
    shared = sorted(set(numbers[rows])) if rows != "state_bytes" else None
    most = max(len(shared or part[rows].unique()) for _, part in numbers.groupby("panel"))
    panel_width = _CELL_WIDTH * len(across) + (0.25 if shared else 0.75)
    per_row = min(len(panels), max(1, int((PAGE_WIDTH - 0.9) / panel_width)))
    lines = -(-len(panels) // per_row)
    width = max(COLUMN_WIDTH, min(PAGE_WIDTH, per_row * panel_width + 0.9))
    figure = Figure(figsize=(width, 0.5 + lines * (max(most, 3) * _CELL_HEIGHT + 0.35)), layout="constrained")
    grid = figure.subplots(lines, per_row, squeeze=False).ravel()
    images = []
    for number, ax in enumerate(grid):
        if number >= len(panels):
            ax.remove()
            continue
        part = numbers[numbers["panel"] == panels[number]]
        down = shared or sorted(set(part[rows]))
        images.append(_panel(ax, part, rows, down, columns, across))
        ax.set_title(panels[number])
        if shared and number % per_row:
            ax.tick_params(labelleft=False)
        if number + per_row < len(panels):
            ax.tick_params(labelbottom=False)
    figure.supxlabel(_columns_title(columns, across), fontsize=8)
    figure.supylabel(axis_name(rows), fontsize=8)
    bar = figure.colorbar(
        images[0], ax=grid[: len(panels)].tolist(), pad=0.02, aspect=25, label="Recall accuracy"
    )
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar.outline.set_visible(False)
    return figure


def _panel(
    ax: Axes, part: pd.DataFrame, rows: str, down: Sequence[float], columns: str, across: Sequence[object]
) -> AxesImage:
    values, marks = np.full((len(down), len(across)), np.nan), {}
    for row in part.to_dict("records"):
        place = down.index(row[rows]), across.index(row[columns])
        values[place], marks[place] = row["accuracy"], "†" * (row["num_diverged"] > 0)
    image = ax.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    for place, value in np.ndenumerate(values):
        text = "–" if np.isnan(value) else f"{100 * value:.0f}{marks[place]}"
        dark = not np.isnan(value) and value < 0.5
        ax.text(*place[::-1], text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    names = [_column_name(columns, value, across) for value in across]
    ax.set_xticks(range(len(across)), names)
    ax.set_yticks(range(len(down)), [format_size(rows, size) for size in down])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.set_facecolor("0.92")
    ax.spines[:].set_visible(False)
    return image


def _ordered(values: pd.Series) -> list:
    unique = values.drop_duplicates()
    return (unique.sort_values() if pd.api.types.is_numeric_dtype(values) else unique).tolist()


def _one_key(across: Sequence[object]) -> str | None:
    """The key that all slices share, when each is this key with a number."""
    parsed = [parse_slice(str(name)) for name in across]
    return parsed[0][0] if len({key for key, _ in parsed}) == 1 and parsed[0][1] is not None else None


def _columns_title(columns: str, across: Sequence[object]) -> str:
    return axis_name(columns) if columns != SLICE else (_one_key(across) or "Slice").capitalize()


def _column_name(columns: str, value: object, across: Sequence[object]) -> str:
    if columns == SLICE and _one_key(across):
        return f"{parse_slice(str(value))[1]:g}"
    return format_value(value)
