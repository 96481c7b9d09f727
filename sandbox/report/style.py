"""How every figure looks: sizes, colours, markers, axes of bytes. Lengths are in inches, type in points."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullLocator,
    PercentFormatter,
)

Number = float | int
"""A size as a table holds it."""

COLUMN_WIDTH, PAGE_WIDTH = 3.4, 7.0

_LEGEND_ROWS, _LEGEND_HANDLE = 15, 0.4
"""Of one column beside the axes: entries, and the width that is not text."""

TITLE_LETTER = 0.068
"""Width of a letter in the titles and labels, on average."""

RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # TrueType: text stays text, and no journal refuses Type 3 fonts
}

# Okabe and Ito's palette without its yellow, which is too light for a line on white.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES = ("-", "--", ":")

_LARGE = 10_000  # numbers from here on are written with k and M

AXIS_NAMES = {
    "state_bytes": "State carried per sequence",
    "parameters": "Parameters",
    "training_flops_per_token": "Training [FLOPs per token]",
    "decode_flops_per_token": "Decoding [FLOPs per token]",
    "length": "Tokens",
    "seconds": "Wall time of the run [s]",
    "mixer.d_state": "State size (d_state)",
}


def series_style(number: int) -> dict[str, Any]:
    """Colour, marker and dash of a series; a colour that comes back has another marker and dash."""
    return {
        "color": COLORS[number % len(COLORS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number // len(COLORS) % len(DASHES)],
    }


def legend_beside(figure: Figure, names: Sequence[str]) -> None:
    """A legend to the right of axes that are `COLUMN_WIDTH` wide, in as many columns as its names take."""
    columns = math.ceil(len(names) / _LEGEND_ROWS)
    figure.set_figwidth(COLUMN_WIDTH + columns * (_LEGEND_HANDLE + TITLE_LETTER * max(map(len, names))))
    figure.legend(loc="outside right upper", ncols=columns)


def axis_name(column: str) -> str:
    """The title of an axis that shows this column."""
    return AXIS_NAMES.get(column, column)


def format_bytes(size: Number) -> str:
    """1536 is `1.5 KiB`: at most three digits, binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def format_size(column: str, size: Number) -> str:
    """A value of a size column as text: bytes with their unit, other numbers as they are."""
    return format_bytes(size) if column == "state_bytes" else f"{size:g}"


def accuracy_axis(ax: Axes) -> None:
    """Accuracy from 0 to 1 as per cent on y, with room for a marker at either end."""
    ax.set_ylim(-0.03, 1.05)
    ax.yaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def size_axis(ax: Axes, column: str, values: Sequence[Number]) -> None:
    """An x axis for sizes: logarithmic, with bytes at powers of two; linear where values are close."""
    low, high = min(values), max(values)
    ax.set_xlabel(axis_name(column))
    if high >= _LARGE:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    narrow = column != "state_bytes" and low < high < 4 * low
    if low <= 0 or narrow:  # a model without state has no place on a logarithmic axis
        return
    ax.set_xscale("log", base=2)
    margin = (high / low) ** 0.06 if high > low else 2
    ax.set_xlim(low / margin, high * margin)
    ax.xaxis.set_minor_locator(NullLocator())
    distinct = sorted(set(values))
    if column == "state_bytes":
        first, last = math.floor(math.log2(low)), math.ceil(math.log2(high))
        stride = max(1, math.ceil((last - first) / 5))
        ax.xaxis.set_major_locator(FixedLocator([2.0**power for power in range(first, last + 1, stride)]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: format_bytes(size)))
    else:
        few = len(distinct) <= 8 and all(b / a >= 1.4 for a, b in itertools.pairwise(distinct))
        ax.xaxis.set_major_locator(
            FixedLocator(distinct) if few else LogLocator(base=10, subs=log_ticks(low, high))
        )
        plain = high < _LARGE or (column == "length" and high < 10 * _LARGE)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}") if plain else EngFormatter(sep=""))


def log_ticks(low: Number, high: Number) -> tuple[int, ...]:
    """Which digits of each decade have a tick of their own on a logarithmic axis of this range."""
    return (1, 2, 5) if high < 300 * low else (1,)
