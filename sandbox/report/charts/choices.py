"""What a reader of the main chart chooses: axes, slice, task and colours; and the axes that follow from it."""

import json
import re
from collections.abc import Sequence

import altair as alt
import numpy as np

from sandbox.report.charts.parts import title_of
from sandbox.report.charts.tables import ChartTables
from sandbox.report.frontier import DIFFICULTY
from sandbox.report.series import short_key
from sandbox.report.style import is_logarithmic
from sandbox.results import MEASURES

X, Y, LOG, SLICE_SHOWN, TASK_SHOWN, GROUPED_BY = (
    "x_axis",
    "y_axis",
    "log_x",
    "slice_shown",
    "task_shown",
    "grouped_by",
)
"""The parameters that a reader sets, which are signals of the Vega view."""

GROUP_COLUMN, SERIES_COLUMN, TICKS = "group_column", "series_column", "x_ticks"
"""The parameters that follow: the columns of configurations that have the names of groups, and of series; and
where the x axis has its ticks, null for where they fall."""

MOST_ASIDE = 48
"""Pixels of configurations at one place, which stand side by side."""

_SERIES = "series"
SCORE_NAMES = {
    "accuracy": "Test accuracy",
    "exact": "Sequences all right",
    "free_running": "All right, free-running",
    "macro_accuracy": "Accuracy over classes",
    "loss": "Test loss [nats]",
}
_MOST_TICKS = 8
"""Values of a setting that all have their tick."""

_X_TEXT = (
    f"{X} != 'state_bytes' ? format(value, value < 10000 ? '.3~g' : '.3~s') : "
    "value < 1024 ? format(value, '.3~g') + ' B' : value < 1048576 ? format(value / 1024, '.3~g') + ' KiB' : "
    "format(value / 1048576, '.3~g') + ' MiB'"
)


def controls(tables: ChartTables, keys: Sequence[str]) -> list[alt.Parameter]:
    """The parameters that a reader sets, with a list or a box each, and those that follow from them."""
    own = {key: column for key, column in tables.groups.items() if key not in tables.series.values()}
    groups = {_SERIES: _SERIES, **{key: short_key(key, keys) for key in own}}
    by_series = {axis: tables.groups[column] for axis, column in tables.series.items()}
    columns = f"{GROUPED_BY} == '{_SERIES}' ? {json.dumps(by_series)}[{X}] : {json.dumps(own)}[{GROUPED_BY}]"
    ticks = json.dumps(_ticks(tables))
    sizes = tables.configs[tables.axes[0]] if tables.axes[0] in tables.configs else tables.points[DIFFICULTY]
    return [
        _choice(X, "x axis", names_of_axes(tables, keys)),
        _choice(Y, "y axis", {name: SCORE_NAMES[name] for name in tables.scores}),
        _choice(SLICE_SHOWN, "slice", {name: name for name in tables.slices}),
        _choice(TASK_SHOWN, "task", {name: name or "–" for name in tables.tasks}),
        _choice(GROUPED_BY, "colour and marker", groups),
        alt.param(
            name=LOG, value=is_logarithmic(tables.axes[0], sizes), bind=alt.binding_checkbox(name="logarithmic x")
        ),
        alt.param(name=SERIES_COLUMN, expr=f"{json.dumps(tables.series)}[{X}]"),
        alt.param(name=GROUP_COLUMN, expr=columns),
        alt.param(name=TICKS, expr=f"{ticks}[{X}] ? {ticks}[{X}][{LOG} ? 'true' : 'false'] : null"),
    ]


def _choice(name: str, title: str, choices: dict[str, str]) -> alt.Parameter:
    """A drop-down list of values -> their names, the first of which is chosen; with one value there is no list."""
    first = next(iter(choices))
    if len(choices) == 1:
        return alt.param(name=name, value=first)
    listed = alt.binding_select(options=list(choices), labels=list(choices.values()), name=title)
    return alt.param(name=name, value=first, bind=listed)


def x_as_text(value: str) -> str:
    """A number on the x axis as text, both expressions."""
    return re.sub(r"\bvalue\b", value, _X_TEXT)


def names_of_axes(tables: ChartTables, keys: Sequence[str]) -> dict[str, str]:
    """What the x axis can be -> its title."""
    return {name: title_of(name, keys) for name in tables.axes}


def _ticks(tables: ChartTables) -> dict[str, dict[str, list[float]]]:
    """Axis -> where it has its ticks, whether logarithmic or not: settings of few values, at these."""
    ticks = {}
    for axis in [name for name in tables.axes if name not in MEASURES]:
        values = (tables.points if axis == DIFFICULTY else tables.configs)[axis].dropna().unique()
        if len(values) <= _MOST_TICKS:
            logarithmic = np.log2(values[values > 0]).tolist()
            ticks[axis] = {"true": logarithmic, "false": values.tolist()}
    return ticks


def x_place() -> alt.X:
    """Place on the x axis: of a logarithmic one the exponent, since the kind of a scale cannot be switched."""
    axis = alt.Axis(
        title=None,
        labelExpr=x_as_text(f"({LOG} ? pow(2, datum.value) : datum.value)"),
        values=alt.expr(TICKS),
        tickCount=6,
        tickMinStep=alt.expr(f"{LOG} && span(domain('x')) > 1.5 ? 1 : 0"),  # whole exponents
        labelOverlap=True,
    )
    return alt.X("at:Q", scale=alt.Scale(zero=False, nice=False, padding=MOST_ASIDE / 2 + 4), axis=axis)


def y_place(field: str) -> alt.Y:
    """Place on the y axis."""
    labels = f"{Y} == 'loss' ? format(datum.value, '.3~g') : format(datum.value, '.0%')"
    axis = alt.Axis(title=None, labelExpr=labels, tickCount=6)
    return alt.Y(f"{field}:Q", axis=axis, scale=alt.Scale(padding=6, nice=False))
