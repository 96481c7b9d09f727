"""The style of all figures: sizes, colours, markers and axes. Lengths are in inches, font sizes in points."""

import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullLocator,
    PercentFormatter,
)

from sandbox.report.fonts import FAMILY, drawable, text_width
from sandbox.short_names import LONGEST, short_names, shortened

Number = float | int
"""A size in a table."""

COLUMN_WIDTH, PAGE_WIDTH = 3.4, 7.0

_LEGEND_ROWS, _LEGEND_HANDLE = 15, 0.4
"""Of one legend column beside the axes: its most entries, and the width that is not text."""

_NOTE_LINE = 0.1
"""Height of a line of a footnote."""

_MOST_TICKS = 8
_TITLE_WIDTH = 1.55
"""Width of a line of a title; three such panels fill the width of a page."""

_SMALL_LETTER = 0.048
"""Average width of a letter in footnotes."""

RC: dict[Any, Any] = {
    "font.family": [FAMILY],
    "font.size": 8,
    "text.parse_math": False,  # labels are data: a dollar sign is a dollar sign
    "text.usetex": False,
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
    "pdf.fonttype": 42,  # TrueType: text stays text; many journals reject Type 3 fonts
}

# The palette of Okabe and Ito without yellow, which is too light for a line on white.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES = ("-", "--", ":")

WHITE_EDGE: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.4}
"""Sets a marker off from lines under it."""

CHANCE: dict[str, Any] = {"color": "0.6", "linewidth": 0.7, "linestyle": (0, (4, 2)), "label": "chance"}
"""The line of accuracy by guessing."""

_LARGE = 10_000  # from here on numbers are written with k and M

AXIS_NAMES = {
    "state_bytes": "State carried per sequence",
    "parameters": "Parameters",
    "training_flops_per_token": "Training [FLOPs per token]",
    "decode_flops_per_token": "Decoding [FLOPs per token]",
    "length": "Tokens",
    "seconds": "Wall time of the run [s]",
    "mixer.d_state": "State size (d_state)",
    "mixer.half_life": "Half-life at the start [tokens]",
    "model.d_model": "Width (d_model)",
}

MEASURES_IN_WORDS = {
    "state_bytes": "bytes that a model carries from token to token when it decodes one sequence, all layers "
    "together: matrices, caches, windows of convolutions. Where they grow with the sequence, those at the longest "
    "length tested.",
    "parameters": "trained numbers.",
    "training_flops_per_token": "multiplications and additions of one training step, forward and backward but "
    "without the optimiser, per token read; counted in the program as it is traced.",
    "decode_flops_per_token": "multiplications and additions for one more token, at the longest length tested.",
    "seconds": "time to train all learning rates and seeds of a run, compilation included, on the machine named "
    "below; it depends on what else ran there.",
}
"""What each measure of a model is, for a reader who meets it on an axis."""


def shown_names(names: Iterable[str], taken: Iterable[str] = (), longest: int = LONGEST) -> dict[str, str]:
    """Names of series -> the texts that stand for them in a figure, which has the `taken` texts already."""
    return short_names(names, taken, drawable, longest)


def shown_titles(names: Iterable[str]) -> tuple[dict[str, str], float]:
    """The same on several lines, as titles of panels, and the width of the longest line."""
    titles = {name: _title_lines(text) for name, text in shown_names(names).items()}
    longest = max(text_width(line, RC["axes.titlesize"]) for lines in titles.values() for line in lines)
    return {name: "\n".join(lines) for name, lines in titles.items()}, longest


def _title_lines(text: str) -> list[str]:
    """The lines that are as long as the letters of this text are narrow."""
    letters = len(text) * _TITLE_WIDTH / max(text_width(text, RC["axes.titlesize"]), _TITLE_WIDTH)
    return textwrap.wrap(text, max(1, int(letters))) or [""]


def footnote(figure: Figure, *sentences: str) -> None:
    """Adds a strip of small text at the foot of the figure, broken to its width; empty sentences are left out."""
    lines = textwrap.wrap(" ".join(filter(None, sentences)), int(figure.get_figwidth() / _SMALL_LETTER))
    strip, height = _NOTE_LINE * len(lines), figure.get_figheight()
    figure.set_figheight(height + strip)
    if title := figure.get_supxlabel():  # the titles of all panels move up, and have space above the text
        figure.supxlabel(title, y=(strip + 0.12) / (height + strip), fontsize=8)
        figure.supylabel(figure.get_supylabel(), y=(0.5 * height + strip) / (height + strip), fontsize=8)
        lines = ["", "", *lines]
    text = "\n".join(lines)
    note = figure.legend(handles=[], loc="outside lower left", title=text, alignment="left", borderpad=0)
    note.get_title().set(fontsize=6, color="0.35")


def series_style(number: int) -> dict[str, Any]:
    """Colour, marker and dash of a series; a repeated colour has another marker and dash."""
    return {
        "color": COLORS[number % len(COLORS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number // len(COLORS) % len(DASHES)],
    }


def legend_beside(figure: Figure, lines: Sequence[Line2D]) -> None:
    """Adds a legend of named lines to the right of the axes, in as many columns as the names need.

    A figure of one column gets wider by that.
    """
    columns = math.ceil(len(lines) / _LEGEND_ROWS)
    widths = [_LEGEND_HANDLE + text_width(str(line.get_label()), RC["legend.fontsize"]) for line in lines]
    legend_width = sum(max(column) for column in np.array_split(widths, columns))
    figure.set_figwidth(max(figure.get_figwidth(), COLUMN_WIDTH + legend_width))
    figure.legend(handles=lines, loc="outside right upper", ncols=columns)


def axis_name(column: str) -> str:
    """The title of an axis for this column."""
    return AXIS_NAMES.get(column) or drawable(shortened(column))


def format_bytes(size: Number) -> str:
    """Bytes in binary units with three significant digits: 1536 is `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def format_size(column: str, size: Number) -> str:
    """A value of a size column as text: bytes with their unit, other sizes as they are."""
    return format_bytes(size) if column == "state_bytes" else f"{size:g}"


def accuracy_axis(ax: Axes) -> None:
    """Shows accuracy from 0 to 1 as per cent on y, with space for a marker at either end."""
    ax.set_ylim(-0.03, 1.05)
    ax.yaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def chance_lines(ax: Axes, chances: Iterable[Number]) -> None:
    """Draws the accuracy of the best blind guess, where it is known, as a thin line across the axes."""
    for chance in sorted({chance for chance in chances if chance == chance}):
        ax.axhline(chance, **CHANCE)


def mark_edges(ax: Axes, x: Iterable[Number], y: Iterable[Number], mark: str, inches: Number = 0) -> None:
    """Sets the mark beside points, which stand so many inches aside."""
    for point in zip(x, y, strict=True):
        ax.annotate(mark, point, xytext=(3 + 72 * inches, 2), textcoords="offset points", fontsize=6)


def size_axis(ax: Axes, column: str, values: Sequence[Number]) -> None:
    """Makes x an axis of sizes: logarithmic, with ticks of bytes at powers of two; linear if values are close."""
    low, high = min(values), max(values)
    ax.set_xlabel(axis_name(column))
    if high >= _LARGE:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    if not is_logarithmic(column, values):
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
        apart = all(b / a >= 1.4 for a, b in itertools.pairwise(distinct))
        apart &= len(distinct) <= _MOST_TICKS or high < 1000 * low
        ticks = distinct[:: math.ceil(len(distinct) / _MOST_TICKS)]
        ax.xaxis.set_major_locator(
            FixedLocator(ticks) if apart else LogLocator(base=10, subs=log_ticks(low, high))
        )
        plain = high < _LARGE or (column == "length" and high < 10 * _LARGE)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}") if plain else EngFormatter(sep=""))


def is_logarithmic(column: str, values: Iterable[Number]) -> bool:
    """Whether an axis of these sizes is logarithmic, which cannot show a model without state."""
    known = [value for value in values if value == value]
    low, high = min(known, default=0), max(known, default=0)
    return low > 0 and (column == "state_bytes" or not low < high < 4 * low)


def log_ticks(low: Number, high: Number) -> tuple[int, ...]:
    """The multiples of each power of ten that get a tick on a logarithmic axis of this range."""
    return (1, 2, 5) if high < 300 * low else (1,)
