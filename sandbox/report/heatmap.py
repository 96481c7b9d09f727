"""The heatmap: accuracy by the size of a model, and by the slice or any key of the config."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from sandbox.report.crowd import MOST_PANELS, MOST_ROWS, crowd_notes, foremost
from sandbox.report.drawing import Drawing, NothingToDraw
from sandbox.report.fonts import drawable, text_width
from sandbox.report.intervals import over_seeds
from sandbox.report.panels import balanced
from sandbox.report.points import COUNTS
from sandbox.report.rates import EDGE_MARK, EDGE_NOTE
from sandbox.report.series import format_value, name_series
from sandbox.report.slices import a_few_of, difficulties, parse_slice
from sandbox.report.style import (
    COLUMN_WIDTH,
    PAGE_WIDTH,
    RC,
    Number,
    axis_name,
    footnote,
    format_size,
    shown_names,
    shown_titles,
)
from sandbox.results import SLICE

_CAPTION = "Test accuracy in per cent, mean over seeds. A dagger marks a cell with a diverged member."
_CELL_WIDTH, _CELL_HEIGHT, _LISTED_HEIGHT, _BAR_HEIGHT = 0.42, 0.22, 0.17, 2.0  # inches
_LONGEST_COLUMN = 20  # letters


def heatmap(
    points: pd.DataFrame, keys: Sequence[str], rows: str, columns: str = SLICE, slice_name: str | None = None
) -> Drawing:
    """Mean test accuracy by `rows`, a column of sizes, and by `columns`: the slice, or a key of the config.

    There is one panel per series, or a single panel if `columns` alone tells the labels apart; series of one size
    each are the rows of a list, the best on top. If `columns` is a key, the accuracy is that of `slice_name`.
    Raises NothingToDraw if there are not two cells to compare.
    """
    if columns == SLICE:
        if not (few := a_few_of(difficulties(points["slice"]))):
            raise NothingToDraw(f"{points['slice'].nunique()} slices are too many; --columns takes a key instead")
        shown = points[points["slice"].isin(few)]
        shown = shown.assign(panel=name_series(shown, keys, [rows]))
    else:
        shown = points[points["slice"] == slice_name]
        apart = (shown.groupby("label")[columns].nunique(dropna=False) == 1).all()
        pooled = apart and not shown.duplicated([rows, columns]).any()
        shown = shown.assign(panel="" if pooled else name_series(shown, keys, [rows, columns]))
    gaps = shown[columns].isna()
    names = shown["panel"].where(shown["panel"] != "", shown["label"])[gaps]
    left_out = [f"{name} is left out, it has no {columns}" for name in dict.fromkeys(names)]
    shown = shown[shown[rows].notna() & ~gaps]
    if len(shown.drop_duplicates([rows, columns])) < 2:
        raise NothingToDraw(f"one value of {rows} and one of {columns} make no map")
    identity = list(dict.fromkeys(["panel", "label", *keys, rows, columns, SLICE]))
    frame = shown[[*identity, "accuracy", "low", "high", "chance", "edge", *COUNTS]]
    means = frame.groupby("panel", sort=False)["accuracy"].mean()
    listed = len(means) > 1 and (frame.groupby("panel")[rows].nunique() == 1).all()
    best = foremost(means, MOST_ROWS if listed else MOST_PANELS)
    notes = left_out + crowd_notes(len(best), len(means), "shown, those with the highest mean")
    draw = _draw_list if listed else _draw
    figure = draw(frame[frame["panel"].isin(best)], rows, columns, notes)
    return Drawing(frame.reset_index(drop=True), figure, _CAPTION, notes)


def _draw(frame: pd.DataFrame, rows: str, columns: str, notes: Sequence[str]) -> Figure:
    panels = {str(name): part for name, part in frame.groupby("panel", sort=False)}
    across = difficulties(frame[SLICE]) if columns == SLICE else _ordered(frame[columns])
    # Bytes differ between series, so each panel has its own sizes; a size in the config is common to all.
    common = sorted(set(frame[rows])) if rows != "state_bytes" else []
    down = {name: common or sorted(set(part[rows])) for name, part in panels.items()}
    texts, longest = shown_titles(panels)
    panel_width = max(_CELL_WIDTH * len(across), longest) + (0.25 if common else 0.6)
    _, per_row = balanced(len(panels), max(1, int((PAGE_WIDTH - 0.9) / panel_width)))
    counts = [len(sizes) for sizes in down.values()]
    heights = [max(counts[start : start + per_row]) for start in range(0, len(counts), per_row)]
    width = max(COLUMN_WIDTH, min(PAGE_WIDTH, per_row * panel_width + 0.9))
    title_lines = 1 + max(text.count("\n") for text in texts.values())
    height = max(1.6, 0.5 + sum(heights) * _CELL_HEIGHT + (0.2 + 0.15 * title_lines) * len(heights))
    names = _column_names(columns, across)
    widest = max(text_width(name, RC["xtick.labelsize"]) for name in names)
    slant: dict[str, Any] = {}
    panel = (width - 0.9) / per_row
    if widest > panel / len(across):
        upright = widest > panel  # slanted, it would need the space of the panels beside its own
        slant = {"rotation": 90 if upright else 30, "ha": "right", "rotation_mode": "anchor"}
        slant |= {"va": "center"} if upright else {}
        labelled = min(2, len(heights)) if len(panels) % per_row else 1  # rows with nothing below some panel
        height += labelled * (widest if upright else widest / 2)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(heights), per_row, squeeze=False, height_ratios=heights).ravel()
    for ax in grid[len(panels) :]:
        ax.remove()
    axes = grid[: len(panels)].tolist()
    for number, (ax, (name, part)) in enumerate(zip(axes, panels.items(), strict=True)):
        image = _panel(ax, part, rows, down[name], columns, across)
        tallest = heights[number // per_row]
        ax.set_xticks(range(len(names)), names, **slant)
        ax.set_ylim(-0.5, tallest - 0.5)  # equally high cells: a panel with fewer leaves space above
        ax.set_title(texts[name], y=len(down[name]) / tallest)
        ax.tick_params(labelleft=not common or number % per_row == 0, labelbottom=number + per_row >= len(panels))
    figure.supxlabel(_columns_title(columns, across), fontsize=8)
    figure.supylabel(axis_name(rows), fontsize=8)
    return _explained(figure, image, axes, frame, notes)


def _draw_list(frame: pd.DataFrame, rows: str, columns: str, notes: Sequence[str]) -> Figure:
    """A row per series, which has one size."""
    across = difficulties(frame[SLICE]) if columns == SLICE else _ordered(frame[columns])
    order = list(frame.groupby("panel", sort=False)["accuracy"].mean().sort_values(kind="stable").index)
    sizes = frame.groupby("panel")[rows].first().to_dict()
    texts = shown_names(order)
    labels = [f"{texts[name]}, {format_size(rows, sizes[name])}" for name in order]
    label_width = max(text_width(label, RC["ytick.labelsize"]) for label in labels)
    width = max(COLUMN_WIDTH, label_width + _CELL_WIDTH * len(across) + 0.9)
    figure = Figure(figsize=(width, max(1.6, 0.6 + _LISTED_HEIGHT * len(order))), layout="constrained")
    ax = figure.subplots()
    places = frame.assign(place=frame["panel"].map(order.index))
    image = _panel(ax, places, "place", range(len(order)), columns, across)
    ax.set_yticks(range(len(order)), labels)
    names = _column_names(columns, across)
    slanted = max(text_width(name, RC["xtick.labelsize"]) for name in names) > _CELL_WIDTH
    slant: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    ax.set_xticks(range(len(names)), names, **slant)
    ax.set_xlabel(_columns_title(columns, across))
    return _explained(figure, image, [ax], frame, notes)


def _explained(
    figure: Figure, image: AxesImage, axes: list[Axes], frame: pd.DataFrame, notes: Sequence[str]
) -> Figure:
    """The figure with a bar of colours beside these axes and what its marks mean below."""
    shrink = min(1, _BAR_HEIGHT / figure.get_figheight())
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=18, shrink=shrink, label="Recall accuracy")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar.outline.set_visible(False)
    diverged = "† with a diverged member." if frame["num_diverged"].any() else ""
    edges = EDGE_NOTE if frame["edge"].any() else ""
    footnote(figure, f"Mean {over_seeds(frame['num_seeds'])}.", diverged, edges, *notes)
    return figure


def _panel(
    ax: Axes, part: pd.DataFrame, rows: str, down: Sequence[Number], columns: str, across: Sequence[object]
) -> AxesImage:
    values, marks = np.full((len(down), len(across)), np.nan), {}
    for row in part.to_dict("records"):
        cell = down.index(row[rows]), across.index(row[columns])
        values[cell] = row["accuracy"]
        marks[cell] = "†" * (row["num_diverged"] > 0) + EDGE_MARK * (row["edge"] != "")
    image = ax.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    for cell, value in np.ndenumerate(values):
        text = "–" if np.isnan(value) else f"{100 * value:.1f}{marks[cell]}"
        dark = not np.isnan(value) and value < 0.5
        ax.text(*cell[::-1], text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    ax.set_yticks(range(len(down)), [format_size(rows, size) for size in down])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return image


def _column_names(columns: str, across: Sequence[object]) -> list[str]:
    named = [_column_name(columns, value, across) for value in across]
    shown = shown_names(named, longest=_LONGEST_COLUMN)
    return [shown[name] for name in named]


def _ordered(values: pd.Series) -> list:
    return values.drop_duplicates().sort_values().tolist()


def _one_key(across: Sequence[object]) -> str | None:
    """The key of all slices, if they share one and each has a number."""
    parsed = [parse_slice(str(name)) for name in across]
    return parsed[0][0] if len({key for key, _ in parsed}) == 1 and parsed[0][1] is not None else None


def _columns_title(columns: str, across: Sequence[object]) -> str:
    return axis_name(columns) if columns != SLICE else drawable(_one_key(across) or "Slice").capitalize()


def _column_name(columns: str, value: object, across: Sequence[object]) -> str:
    if columns == SLICE and _one_key(across):
        return f"{parse_slice(str(value))[1]:g}"
    return format_value(value)
