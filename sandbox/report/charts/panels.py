"""The other charts of a page: the map of scores, learning curves, and learning rates, as the figures have them."""

import altair as alt
import pandas as pd

from sandbox.report.charts.parts import (
    CONFIG,
    CONFIGS,
    MARKS,
    color,
    csv_data,
    dimmed,
    entry_width,
    finished,
    legend_click,
    lit,
    of_config,
    scaled,
    shape,
    title_of,
    tooltip,
    used,
)
from sandbox.report.crowd import MOST_ROWS
from sandbox.report.rates import EDGE_MARK
from sandbox.report.style import format_size
from sandbox.results import STATUS_DIVERGED
from sandbox.short_names import short_names

HEATMAP_FIELDS = {
    "row:N": "model",
    "column:N": "column",
    "accuracy:Q": "mean",
    "low:Q": "from",
    "high:Q": "to",
    "num_seeds:Q": "seeds",
    "num_diverged:Q": "diverged",
}
CURVES_FIELDS = {
    "series:N": "series",
    "size:N": "size",
    "step:Q": "step",
    "accuracy:Q": "mean",
    "low:Q": "worst",
    "high:Q": "best",
    "num_seeds:Q": "seeds",
}
RATES_FIELDS = {
    "series:N": "series",
    "size:N": "size",
    "learning_rate:Q": "learning rate",
    "seed:N": "seed",
    "accuracy:Q": "accuracy",
    "mean:Q": "mean of the rate",
    "status:N": "status",
}
"""What is said of a mark of each chart, by a pointer and in the table of the chart."""

_HEIGHT = 300
_ROW = 20  # pixels
_WIDTH = alt.StrokeWidth("rank:Q", scale=alt.Scale(range=[1, 3]), legend=None)


def heatmap_chart(frame: pd.DataFrame, configs: pd.DataFrame, rows: str, columns: str) -> alt.LayerChart:
    """Mean test accuracy by model and size, a row each, and by slice or a key of the config.

    Args:
        frame: the table of `heatmap`, with the number of the configuration as `config`.
        configs: see `ChartTables`.
        rows: the column of sizes.
        columns: the column of what is side by side.
    """
    cells = _best(frame, "accuracy")
    sizes = [format_size(rows, size) for size in cells[rows]]
    cells = cells.assign(
        row=[f"{panel} · {size}" if panel else size for panel, size in zip(cells["panel"], sizes, strict=True)],
        column=cells[columns],
        text=[
            f"{100 * value:.1f}{EDGE_MARK * bool(edge)}{'†' * (lost > 0)}"
            for value, edge, lost in cells[["accuracy", "edge", "num_diverged"]].to_numpy()
        ],
    )
    cells = cells[[CONFIG, "row", "column", "accuracy", "low", "high", "num_seeds", "num_diverged", "text"]]
    base = alt.Chart(csv_data("cells", cells)).transform_lookup(**of_config(configs))
    y = alt.Y(
        "row:N",
        sort=None,
        title=None,
        axis=alt.Axis(labelLimit=alt.expr("containerSize()[0] / 2"), labelOverlap=False),
    )
    x = alt.X(
        "column:N", sort=None, title=title_of(columns, [columns]), axis=alt.Axis(labelAngle=0, labelOverlap=True)
    )
    scale = alt.Scale(scheme="cividis", domain=[0, 1])
    fill = alt.Color(
        "accuracy:Q", scale=scale, legend=alt.Legend(title=None, orient="bottom", format=".0%", values=[0, 0.5, 1])
    )
    marks = base.mark_rect(stroke="white").encode(
        x=x, y=y, color=fill, opacity=dimmed(), tooltip=tooltip(HEATMAP_FIELDS)
    )
    dark = alt.when("datum.accuracy < 0.5").then(alt.value("white")).otherwise(alt.value("black"))
    texts = base.mark_text(fontSize=10, aria=False).encode(
        x=x, y=y, text="text:N", color=dark, opacity=dimmed(), tooltip=tooltip(HEATMAP_FIELDS)
    )
    chart = alt.layer(marks.properties(name=MARKS), texts).properties(height=_ROW * cells["row"].nunique())
    tables = {CONFIGS: used(configs, cells), "cells": cells}
    return finished(chart, "Mean test accuracy of each model, a row each.", tables)


def curves_chart(frame: pd.DataFrame, configs: pd.DataFrame, size: str) -> alt.LayerChart:
    """Validation accuracy against optimiser steps: the mean over seeds, with a band of what is highlighted.

    The band is from the worst seed to the best.

    Args:
        frame: the table of `curves`, with the number of the configuration as `config`.
        configs: see `ChartTables`.
        size: the column of sizes; a larger model has a thicker line.
    """
    lines = _sized(_best(frame, "accuracy"), size)
    lines = lines[[CONFIG, "series", "size", "rank", "step", "accuracy", "low", "high", "num_seeds"]].round(4)
    entry = entry_width(lines["series"])
    base = alt.Chart(csv_data("lines", lines)).transform_lookup(**of_config(configs))
    steps = alt.X("step:Q", title="Optimiser steps", axis=alt.Axis(format=",d", tickCount=6))
    drawn = {"x": steps, "color": scaled("color", "series"), "detail": f"{CONFIG}:N"}
    band = base.mark_area(aria=False).encode(**drawn, y=_accuracy("low"), y2="high:Q", opacity=lit(0.15))
    means = base.mark_line(aria=False).encode(
        **drawn, y=_accuracy("accuracy"), strokeWidth=_WIDTH, opacity=dimmed()
    )
    points = base.mark_point(filled=True, size=20).encode(
        x=steps,
        y=_accuracy("accuracy"),
        color=color("series", entry),
        shape=shape("series", entry),
        opacity=dimmed(),
        tooltip=tooltip(CURVES_FIELDS),
    )
    points = points.properties(name=MARKS).add_params(legend_click("series"))
    chart = alt.layer(band, means, points).properties(height=_HEIGHT)
    tables = {CONFIGS: used(configs, lines), "lines": lines}
    return finished(chart, "Validation accuracy against optimiser steps.", tables)


def rates_chart(frame: pd.DataFrame, configs: pd.DataFrame, size: str) -> alt.LayerChart:
    """Validation accuracy against the learning rate: the mean at each, and members as dots.

    The selected rate has a ring, and a member that diverged a cross.

    Args:
        frame: the table of `learning_rates`, with the number of the configuration as `config`.
        configs: see `ChartTables`.
        size: the column of sizes; a larger model has a thicker line.
    """
    members = _sized(_best(frame, "mean"), size)
    kept = [CONFIG, "series", "size", "rank", "learning_rate", "seed", "status", "accuracy", "mean", "selected"]
    members = members[kept].assign(selected=members["selected"].astype(int)).round({"accuracy": 4, "mean": 4})
    entry = entry_width(members["series"])
    base = alt.Chart(csv_data("members", members)).transform_lookup(**of_config(configs))
    scale = alt.Scale(type="log", nice=False, padding=14)
    ticks = alt.Axis(format="~g", values=sorted(members["learning_rate"].unique()), labelOverlap=True)
    rates = alt.X("learning_rate:Q", title="Learning rate", scale=scale, axis=ticks)
    drawn = {"x": rates, "color": scaled("color", "series"), "detail": f"{CONFIG}:N"}
    means = base.mark_line(aria=False).encode(**drawn, y=_accuracy("mean"), strokeWidth=_WIDTH, opacity=dimmed())
    rings = base.transform_filter("datum.selected").mark_point(size=170, strokeWidth=1.3, aria=False)
    crosses = base.transform_filter(f"datum.status == '{STATUS_DIVERGED}'").mark_text(
        text="×", fontSize=18, aria=False
    )
    dots = base.mark_point(filled=True, size=26).encode(
        x=rates,
        y=_accuracy("accuracy"),
        color=color("series", entry),
        shape=shape("series", entry),
        opacity=dimmed(0.7),
        tooltip=tooltip(RATES_FIELDS),
    )
    marks = [
        means,
        rings.encode(**drawn, y=_accuracy("mean"), opacity=dimmed()),
        dots.properties(name=MARKS).add_params(legend_click("series")),
        crosses.encode(x=scaled("x", "learning_rate"), y=scaled("y", "accuracy"), opacity=dimmed()),
    ]
    chart = alt.layer(*marks).properties(height=_HEIGHT)
    return finished(
        chart,
        "Validation accuracy against the learning rate.",
        {CONFIGS: used(configs, members), "members": members},
    )


def _best(frame: pd.DataFrame, score: str) -> pd.DataFrame:
    """The rows of the configurations that scored best."""
    best = frame.groupby(CONFIG)[score].max().nlargest(MOST_ROWS).index
    return frame[frame[CONFIG].isin(best)]


def _sized(rows: pd.DataFrame, size: str) -> pd.DataFrame:
    """The rows with the size as text and as its rank among all sizes, and with short names of series."""
    return rows.assign(
        series=rows["series"].map(short_names(rows["series"])),
        size=[format_size(size, value) for value in rows[size]],
        rank=rows[size].rank(method="dense").astype(int),
    )


def _accuracy(field: str) -> alt.Y:
    axis = alt.Axis(format=".0%", tickCount=6)
    return alt.Y(f"{field}:Q", title="Validation accuracy", axis=axis, scale=alt.Scale(domain=[0, 1]))
