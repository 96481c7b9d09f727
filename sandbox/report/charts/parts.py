"""What all charts of a page share: their data as CSV text, colours and shapes, the highlight, and the legend."""

from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import pandas as pd

from sandbox.report.crowd import MOST_PANELS
from sandbox.report.series import short_key
from sandbox.report.style import AXIS_NAMES, COLORS
from sandbox.short_names import short_names
from sandbox.tables import to_csv

OTHERS = "others"
"""The group of what has no name of its own in a legend."""

SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "cross",
    "triangle-right",
    "triangle-left",
)
"""Markers of Vega; with seven colours, the first 56 groups differ in colour and shape together."""

CONFIG, CONFIGS = "config", "configs"
"""The number of a configuration, and the table that has a row for each."""

MARKS, OTHER_MARKS = "shown", "others_shown"
"""The names of the views whose marks a page lists as a table."""

HIGHLIGHTED = "highlighted"
"""The parameter by which a page dims all but some groups: null, or `column` of the configurations and `names`."""

LEGEND = "legend_click"
"""The selection that a click on a legend makes, for which the page listens."""

_IS_LIT = f"indexof({HIGHLIGHTED}.names, datum.of[{HIGHLIGHTED}.column]) >= 0"
_DIMMED = 0.1
_LETTER, _SYMBOL, _LEGEND_OFFSET = (
    6.0,
    40,
    40,
)  # pixels: a letter, what else an entry takes, space for a title above
_NUMBER_FORMAT = ",.4~r"


def csv_data(name: str, table: pd.DataFrame) -> alt.NamedData:
    """A reference to a table among the chart's `datasets`: CSV text, which has the names of columns once."""
    numbers = {str(column): "number" for column in table.select_dtypes("number")}
    return alt.NamedData(name=name, format=alt.CsvDataFormat(type="csv", parse=numbers))


def of_config(configs: pd.DataFrame) -> dict[str, Any]:
    """The arguments of `transform_lookup` that give each datum the row of its configuration as `of`."""
    return {"lookup": CONFIG, "from_": alt.LookupData(data=csv_data(CONFIGS, configs), key=CONFIG), "as_": "of"}


def used(configs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The configurations that these rows have."""
    return configs[configs[CONFIG].isin(rows[CONFIG])]


def finished(chart: Any, description: str, tables: Mapping[str, pd.DataFrame]) -> Any:
    """The chart with its tables, the words that a screen reader says of it, and the style of the page."""
    return (
        chart.add_params(alt.param(name=HIGHLIGHTED, value=None))
        .properties(
            width="container",
            description=description,
            datasets={name: to_csv(rows) for name, rows in tables.items()},
        )
        .configure(font="system-ui, sans-serif", view=alt.ViewConfig(stroke=None))
        .configure_axis(gridColor="#e5e5e5", domainColor="#666", tickColor="#666", titleFontWeight="normal")
    )


def dimmed(opacity: float = 1.0) -> Any:
    """The opacity of marks whose data have their configuration as `of`: this, or little if others are lit."""
    return (
        alt.when(f"{HIGHLIGHTED} == null || {_IS_LIT}")
        .then(alt.value(opacity))
        .otherwise(alt.value(_DIMMED * opacity))
    )


def lit(opacity: float) -> Any:
    """The opacity of marks that are there only while theirs is highlighted."""
    return alt.when(f"{HIGHLIGHTED} != null && {_IS_LIT}").then(alt.value(opacity)).otherwise(alt.value(0))


def legend_click(field: str) -> alt.Parameter:
    """The selection of the values of a field that a click on their entries in the legend makes."""
    return alt.selection_point(name=LEGEND, fields=[field], bind="legend", toggle=False)


def scaled(scale: str, field: str) -> Any:
    """The place or colour of a field, without a say in the domain of the scale: there may be no data."""
    return alt.value(alt.expr(f"scale('{scale}', datum.{field})"))


def color(field: str, entry: str, names: Any = alt.Undefined, title: str | None = None) -> alt.Color:
    """A colour for each name in the field, from the palette of all figures.

    Args:
        field: what has a colour.
        entry: the width of an entry of the legend, an expression in Vega (see `entry_width`).
        names: those in the field, in their order, also such an expression; as in the data if there is none.
        title: the title of the legend.
    """
    scale = alt.Scale(range=list(COLORS), domain=names)
    return alt.Color(f"{field}:N", sort=None, scale=scale, legend=_legend(entry, title))


def shape(field: str, entry: str, names: Any = alt.Undefined, title: str | None = None) -> alt.Shape:
    """A marker for each name in the field, which tells them apart without colours; the rest as in `color`."""
    scale = alt.Scale(range=list(SHAPES), domain=names)
    return alt.Shape(f"{field}:N", sort=None, scale=scale, legend=_legend(entry, title))


def entry_width(names: Iterable[str]) -> str:
    """The width in pixels that a legend of these names needs for each."""
    return f"{_LETTER * max(map(len, names), default=0) + _SYMBOL:g}"


def _legend(entry: str, title: str | None) -> alt.Legend:
    """A legend at the foot, in as many columns as the width has room for."""
    columns, limit = alt.expr(f"max(1, floor(width / {entry}))"), alt.expr("max(100, width - 30)")
    return alt.Legend(
        title=title,
        titleFontWeight="normal",
        titleLimit=limit,
        orient="bottom",
        columns=columns,
        symbolLimit=0,
        labelLimit=limit,
        offset=_LEGEND_OFFSET,
    )


def named(groups: pd.Series, scores: pd.Series) -> pd.Series:
    """The names of the groups in a legend; if they are too many, only those that scored highest have their own."""
    if groups.nunique() > MOST_PANELS:
        best = scores.groupby(groups, sort=False).max().nlargest(MOST_PANELS - 1).index
        groups = groups.where(groups.isin(best), OTHERS)
    return groups.map(short_names(groups))


def title_of(column: str, keys: Iterable[str]) -> str:
    """What an axis and a list of choices say of a column, where the config has these keys."""
    return AXIS_NAMES.get(column) or short_key(column, keys)


def tooltip(fields: Mapping[str, str]) -> list[alt.Tooltip]:
    """What a pointer over a mark shows: field -> its title; a field that ends in `:Q` is a number."""
    return [
        alt.Tooltip(field, title=title, format=_NUMBER_FORMAT)
        if field.endswith(":Q")
        else alt.Tooltip(field, title=title)
        for field, title in fields.items()
    ]
