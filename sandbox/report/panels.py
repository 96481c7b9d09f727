"""Grids of panels whose lines are shaded by model size, from light (small) to dark (large)."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sandbox.report.style import (
    COLUMN_WIDTH,
    PAGE_WIDTH,
    Number,
    accuracy_axis,
    axis_name,
    format_size,
    shown_titles,
)

_PER_ROW = 3
_TITLE_LINE = 0.13  # inches
_ALL_PANELS = 5.7  # inches of width left for panels beside legend and labels
_LEGEND_ENTRIES = 8  # more sizes than this get a colour bar
_BAR_LABELS = 16
# Viridis without its bright end, so that the smallest size is visible on white.
_SHADES = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.82, 0.0, 256)))


def balanced(panels: int, most: int) -> tuple[int, int]:
    """The number of rows and of panels per row, at most `most`: four panels make 2 + 2 and not 3 + 1."""
    rows = math.ceil(panels / most)
    return rows, math.ceil(panels / rows)


def panel_grid(titles: Sequence[str], x_title: str, y_title: str) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel per title, shared axes, accuracy on y, and tick labels on the outer panels only."""
    texts, longest = shown_titles(titles)
    rows, per_row = balanced(len(titles), max(1, min(_PER_ROW, int(_ALL_PANELS / longest))))
    width = COLUMN_WIDTH if per_row == 1 else PAGE_WIDTH
    lines = max(text.count("\n") for text in texts.values())  # after the first two
    height = (0.8 if per_row == 1 else 0.5) + (1.6 + _TITLE_LINE * max(0, lines - 1)) * rows
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, per_row, sharex=True, sharey=True, squeeze=False).ravel()
    for number, ax in enumerate(grid):
        if number >= len(titles):
            grid[number - per_row].tick_params(labelbottom=True)
            ax.remove()
            continue
        ax.set_title(texts[titles[number]])
        accuracy_axis(ax)
    figure.supxlabel(x_title, fontsize=8)
    figure.supylabel(y_title, fontsize=8)
    return figure, dict(zip(titles, grid, strict=False))


def shades(sizes: Sequence[Number]) -> dict[Number, tuple]:
    """The colour of each size, by rank and not by value, so that neighbours differ equally."""
    ordered = sorted(set(sizes))
    levels = np.linspace(0, 1, len(ordered)) if len(ordered) > 1 else [0.5]
    return {size: _SHADES(float(level)) for size, level in zip(ordered, levels, strict=True)}


def explain(
    figure: Figure, axes: Sequence[Axes], column: str, sizes: Sequence[Number], marks: Mapping[str, dict]
) -> None:
    """Adds a legend of the shades of all sizes and of the `marks`, a line style each, right of the panels."""
    colors = shades(sizes)
    extra = [Line2D([], [], **style | {"label": name}) for name, style in marks.items()]
    if len(colors) <= _LEGEND_ENTRIES:
        lines = [Line2D([], [], color=color, label=format_size(column, s)) for s, color in colors.items()]
        legend = figure.legend(handles=[*lines, *extra], loc="outside right upper", title=axis_name(column))
        legend.get_title().set_fontsize(7)
        return
    steps = BoundaryNorm(np.arange(len(colors) + 1) - 0.5, len(colors))
    mappable = ScalarMappable(steps, ListedColormap(list(colors.values())))
    every = math.ceil(len(colors) / _BAR_LABELS)
    texts = [format_size(column, size) for size in colors]
    bar = figure.colorbar(mappable, ax=list(axes), label=axis_name(column), pad=0.02, aspect=25)
    bar.set_ticks(range(0, len(colors), every), labels=texts[::every])
    bar.minorticks_off()
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
    if extra:
        figure.legend(handles=extra, loc="outside upper right", ncols=len(extra))
