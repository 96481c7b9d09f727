"""Panels side by side, a line per size in shades that run from light (small) to dark (large)."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sandbox.report.style import COLUMN_WIDTH, PAGE_WIDTH, accuracy_axis, axis_name, format_size

_PER_ROW = 3
_LEGEND_ENTRIES = 8  # more sizes than this are told by a colour bar
# Viridis without its bright end, so that the smallest size is visible on white.
_SHADES = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.88, 0.0, 256)))


def panel_grid(titles: Sequence[str], x_title: str, y_title: str) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel per title, equal axes, accuracy as y; tick labels only at the outer panels."""
    per_row = min(len(titles), _PER_ROW)
    rows = -(-len(titles) // per_row)
    width = COLUMN_WIDTH if per_row == 1 else PAGE_WIDTH
    height = 2.4 if per_row == 1 else 0.5 + 1.6 * rows
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, per_row, sharex=True, sharey=True, squeeze=False).ravel()
    for number, ax in enumerate(grid):
        if number >= len(titles):
            grid[number - per_row].tick_params(labelbottom=True)
            ax.remove()
            continue
        ax.set_title(titles[number])
        accuracy_axis(ax)
    figure.supxlabel(x_title, fontsize=8)
    figure.supylabel(y_title, fontsize=8)
    return figure, dict(zip(titles, grid, strict=False))


def shades(sizes: Sequence[float]) -> tuple[Normalize, dict[float, tuple]]:
    """The scale of the sizes, and the colour of each."""
    low, high = min(sizes), max(sizes)
    norm = LogNorm(low, high) if 0 < low < high else Normalize(low, high)
    return norm, {size: _SHADES(float(norm(size))) for size in sizes}


def explain(
    figure: Figure, axes: Sequence[Axes], column: str, sizes: Sequence[float], extra: Mapping[str, dict]
) -> None:
    """Says right of the panels which shade is which size, and what the `extra` marks mean (a style each)."""
    norm, colors = shades(sizes)
    marks = [Line2D([], [], **style, label=name) for name, style in extra.items()]
    if len(colors) <= _LEGEND_ENTRIES:
        lines = [Line2D([], [], color=colors[s], label=format_size(column, s)) for s in sorted(colors)]
        legend = figure.legend(handles=[*lines, *marks], loc="outside right upper", title=axis_name(column))
        legend.get_title().set_fontsize(7)
        return
    bar = figure.colorbar(ScalarMappable(norm, _SHADES), ax=list(axes), label=axis_name(column), pad=0.02)
    first, last = math.ceil(math.log2(min(sizes))), math.floor(math.log2(max(sizes)))
    powers = range(first, last + 1, math.ceil((last - first + 1) / 8))
    bar.ax.yaxis.set_major_locator(FixedLocator([2.0**power for power in powers]))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda size, _: format_size(column, size)))
    if marks:
        figure.legend(handles=marks, loc="outside upper right", ncols=len(marks))
