"""The main chart of a page: any score against any cost or numeric key, with what is shown chosen by the reader."""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt

from sandbox.report.charts.choices import (
    GROUP_COLUMN,
    LOG,
    MOST_ASIDE,
    SCORE_NAMES,
    SERIES_COLUMN,
    SLICE_SHOWN,
    TASK_SHOWN,
    X,
    Y,
    controls,
    names_of_axes,
    x_as_text,
    x_place,
    y_place,
)
from sandbox.report.charts.parts import (
    CONFIG,
    CONFIGS,
    MARKS,
    OTHER_MARKS,
    OTHERS,
    color,
    csv_data,
    dimmed,
    entry_width,
    finished,
    legend_click,
    of_config,
    scaled,
    shape,
    tooltip,
)
from sandbox.report.charts.tables import ChartTables
from sandbox.report.frontier import DIFFICULTY
from sandbox.report.intervals import INTERVAL, interval_in_words
from sandbox.results import MEASURES

CHOSEN = "chosen_point"
"""The selection that a click on a point makes, of its number."""

FIELDS = {
    "label:N": "series",
    "slice:N": "slice",
    "x:Q": "x",
    "mean:Q": "mean",
    "low:Q": "lower end",
    "high:Q": "upper end",
    "num_seeds:Q": "seeds",
    "num_diverged:Q": "diverged",
    "rate:Q": "learning rate",
    "implementation:N": "implementation",
    "settings:N": "settings",
    "command:N": "command",
}
"""What the table of the chart says of a point."""

_POINTED = {
    "label:N": "series",
    "slice:N": "slice",
    "x_text:N": "x",
    "y_text:N": "y",
    "num_seeds:Q": "seeds",
    "num_diverged:Q": "diverged",
    "rate:Q": "learning rate",
    "implementation:N": "implementation",
    "settings:N": "settings",
}
"""What a pointer over a point says of it."""

_HEIGHT = 360
_ASIDE = 8  # pixels between configurations at one place
_BESIDE = alt.ExprRef("datum.aside")
_IS_COST = f"indexof({json.dumps(MEASURES)}, {X}) >= 0"
_PLACE = "scale('x', datum.at) + datum.aside"
_IS_NAMED = f"datum.group != '{OTHERS}'"
_SCORE_TEXT = (
    f"{Y} == 'loss' ? format(datum.mean, '.3~g') : format(datum.mean, '.1%') + "
    "(isValid(datum.low) ? ' (' + format(datum.low, '.1%') + ' to ' + format(datum.high, '.1%') + ')' : '')"
)


def explore(tables: ChartTables, keys: Sequence[str]) -> alt.LayerChart:
    """Means over seeds with their intervals and each seed, lines of series, the Pareto front, and chance.

    A reader chooses the axes, slice, task, and what has a colour and a marker. A point without a value on the x
    axis is a horizontal line.

    Args:
        tables: see `chart_tables`. The columns of `points` and `seeds` must be those that `ChartTables` names.
        keys: the config keys that vary.
    """
    points = _resolved(alt.Chart(csv_data("points", tables.points)), tables)
    points = points.transform_calculate(
        x_text=f"{json.dumps(names_of_axes(tables, keys))}[{X}] + ': ' + ({x_as_text('datum.x')})"
    )
    points = points.transform_calculate(y_text=_SCORE_TEXT)
    seeds = alt.Chart(csv_data("seeds", tables.seeds)).transform_lookup(
        "point",
        alt.LookupData(
            data=csv_data("points", tables.points), key="point", fields=[CONFIG, "slice", "task", DIFFICULTY]
        ),
    )
    widths = {column: entry_width(tables.configs[column]) for column in tables.groups.values()}
    legend = {
        "entry": f"{json.dumps(widths)}[{GROUP_COLUMN}]",
        "names": alt.ExprRef(f"{json.dumps(_names(tables))}[{TASK_SHOWN}][{GROUP_COLUMN}]"),
        "title": interval_in_words(tables.points["num_seeds"]),
    }
    layers = [
        _front(points),
        *_chance(points),
        _others(points),
        _seeds(_resolved(seeds, tables)),
        *_means(points, legend),
        *_levels(points, legend),
        *_titles(tables, keys),
    ]
    chart = alt.layer(*layers).add_params(*controls(tables, keys)).properties(height=_HEIGHT)
    about = (
        f"Scores on test data, mean and {INTERVAL} over seeds, against a cost or a setting. "
        "The table below the chart has each point and its command."
    )
    return finished(chart, about, {CONFIGS: tables.configs, "points": tables.points, "seeds": tables.seeds})


def _names(tables: ChartTables) -> dict[str, dict[str, list[str]]]:
    """Task -> column with names of groups -> these, in the order of the configurations that have this task.

    A reader who goes from one axis to another and back finds each name in the colour that it had.
    """
    tasks = tables.points.groupby("task", sort=False)[CONFIG].unique()
    of_task = {task: tables.configs[tables.configs[CONFIG].isin(numbers)] for task, numbers in tasks.items()}
    columns = tables.groups.values()
    return {
        str(task): {name: list(dict.fromkeys(rows[name])) for name in columns} for task, rows in of_task.items()
    }


def _resolved(chart: alt.Chart, tables: ChartTables) -> alt.Chart:
    """The data with what the choices make of them: `group`, `series`, the score, `x`, and `at`, its place.

    Configurations at one place stand side by side, each so many pixels `aside`.
    """
    of_slice = f"{X} == '{DIFFICULTY}' ? isValid(datum.{DIFFICULTY}) : datum.slice == {SLICE_SHOWN}"
    shown = f"datum.task == {TASK_SHOWN} && ({of_slice})"
    return (
        chart.transform_filter(shown)
        .transform_lookup(**of_config(tables.configs))
        .transform_calculate(
            group=f"datum.of[{GROUP_COLUMN}]",
            series=f"datum.of[{SERIES_COLUMN}]",
            x=f"{X} == '{DIFFICULTY}' ? datum.{DIFFICULTY} : toNumber(datum.of[{X}])",
            mean=f"datum[{Y}]",
            low=f"datum[{Y} + ' low']",
            high=f"datum[{Y} + ' high']",
            label="datum.of.label",
            settings="datum.of.settings",
            rate="datum.of.rate",
            implementation="datum.of.implementation",
            command=f"datum.of.command ? datum.of.command + {json.dumps(tables.shared)} : ''",
        )
        .transform_calculate(
            at=f"!isValid(datum.x) || ({LOG} && datum.x <= 0) ? null : {LOG} ? log(datum.x) / LN2 : datum.x"
        )
        .transform_filter("isValid(datum.mean)")
        # Sorted by `at` too, or Vega would not notice that another axis makes other groups.
        .transform_window(place="dense_rank()", sort=[alt.SortField(CONFIG), alt.SortField("at")], groupby=["at"])
        .transform_joinaggregate(places="max(place)", groupby=["at"])
        .transform_calculate(
            aside=f"(datum.place - (datum.places + 1) / 2) * min({_ASIDE}, {MOST_ASIDE} / datum.places)"
        )
    )


def _front(points: alt.Chart) -> alt.Chart:
    """The best mean at no higher cost, over all that is shown; a setting that is no cost has none."""
    return (
        points.transform_filter("isValid(datum.at)")
        .transform_calculate(score=f"{Y} == 'loss' ? -datum.mean : datum.mean")
        .transform_window(
            best="max(score)",
            sort=[alt.SortField("at", order="ascending"), alt.SortField("score", order="descending")],
            frame=[None, 0],
        )
        .transform_calculate(front=f"{Y} == 'loss' ? -datum.best : datum.best")
        .mark_line(
            interpolate="step-after",
            strokeWidth=7,
            color="#ddd",
            aria=False,
            opacity=alt.expr(f"{_IS_COST} ? 1 : 0"),
        )
        .encode(x=x_place(), y=y_place("front"))
    )


def _chance(points: alt.Chart) -> list[Any]:
    """The accuracy of the best blind guess, where it is known."""
    known = points.transform_filter(f"{Y} == 'accuracy' && isValid(datum.chance)").transform_aggregate(
        num_points="count()", groupby=["chance"]
    )
    text = known.mark_text(text="chance", align="right", dy=-6, fontSize=10, color="#666", aria=False)
    return [
        known.mark_rule(strokeDash=[4, 3], color="#777").encode(
            y=scaled("y", "chance"), tooltip=tooltip({"chance:Q": "chance"})
        ),
        text.encode(x=alt.value(alt.expr("width - 2")), y=scaled("y", "chance")),
    ]


def _levels(points: alt.Chart, legend: dict[str, Any]) -> list[Any]:
    """A model without the key on the x axis, such as softmax attention without a size of its state."""
    missing = points.transform_filter(f"!isValid(datum.x) && !({_IS_COST})")
    shared = {"y": scaled("y", "mean"), "opacity": dimmed(), "tooltip": tooltip(_POINTED)}
    ends = missing.mark_point(filled=True, size=70, cursor="pointer")
    return [
        missing.mark_rule(strokeDash=[6, 3], strokeWidth=1.5).encode(**shared, color=scaled("color", "group")),
        ends.encode(
            **shared,
            x=alt.value(alt.expr("width")),
            color=color("group", **legend),
            shape=shape("group", **legend),
        ),
    ]


def _others(points: alt.Chart) -> alt.Chart:
    """The means of groups that the legend has no room for."""
    marks = points.transform_filter(f"isValid(datum.at) && !({_IS_NAMED})").mark_point(
        filled=True, size=24, color="#999", cursor="pointer"
    )
    place = {"x": alt.value(alt.expr(_PLACE)), "y": scaled("y", "mean")}
    return marks.properties(name=OTHER_MARKS).encode(**place, opacity=dimmed(0.5), tooltip=tooltip(_POINTED))


def _seeds(seeds: alt.Chart) -> alt.Chart:
    placed = seeds.transform_filter(f"isValid(datum.at) && {_IS_NAMED}").mark_point(
        filled=True, size=22, aria=False, xOffset=_BESIDE
    )
    return placed.encode(x=x_place(), y=y_place("mean"), color=scaled("color", "group"), opacity=dimmed(0.4))


def _means(points: alt.Chart, legend: dict[str, Any]) -> list[Any]:
    """The intervals, the lines of series, and on top the means, which a pointer and a click find."""
    points = points.transform_filter(_IS_NAMED)
    placed = points.transform_filter("isValid(datum.at)")
    place = alt.value(alt.expr(f"isValid(datum.at) ? {_PLACE} : -9"))  # of a level beside the chart
    ends = points.transform_calculate(low="isValid(datum.low) ? datum.low : datum.mean").transform_calculate(
        high="isValid(datum.high) ? datum.high : datum.mean"
    )
    intervals = ends.mark_rule(strokeWidth=1, clip=True, aria=False)
    lines = placed.mark_line(strokeWidth=1.5, aria=False, xOffset=_BESIDE)
    means = placed.mark_point(filled=True, size=70, cursor="pointer", xOffset=_BESIDE)
    chosen = alt.selection_point(name=CHOSEN, fields=["point"], on="click", empty=False)
    drawn = {"color": scaled("color", "group"), "opacity": dimmed()}
    return [
        intervals.encode(**drawn, x=place, y=y_place("low"), y2="high:Q"),
        lines.encode(**drawn, x=x_place(), y=y_place("mean"), detail=["series:N", "group:N"]),
        means.properties(name=MARKS)
        .encode(
            x=x_place(),
            y=y_place("mean"),
            color=color("group", **legend),
            shape=shape("group", **legend),
            opacity=dimmed(),
            stroke=alt.when(chosen).then(alt.value("black")).otherwise(alt.value("white")),
            strokeWidth=alt.when(chosen).then(alt.value(2)).otherwise(alt.value(0.6)),
            tooltip=tooltip(_POINTED),
        )
        .add_params(legend_click("group"), chosen),
    ]


def _titles(tables: ChartTables, keys: Sequence[str]) -> list[alt.Chart]:
    """The titles of the axes, which follow the choices as those of Vega-Lite cannot."""
    y_names = json.dumps(SCORE_NAMES)
    one = alt.Chart(alt.InlineData(values=[{}]))
    y_text = f"{y_names}[{Y}] + ({X} == '{DIFFICULTY}' ? '' : ', ' + {SLICE_SHOWN})"
    if len(tables.tasks) > 1:
        y_text += f" + ', ' + {TASK_SHOWN}"
    x_names = json.dumps(names_of_axes(tables, keys))
    x_title = one.mark_text(text=alt.expr(f"{x_names}[{X}]"), fontSize=11, aria=False)
    y_title = one.mark_text(text=alt.expr(y_text), fontSize=11, align="left", aria=False)
    whole = alt.Chart(alt.InlineData(values=[{"end": 0}, {"end": 1}])).mark_tick(opacity=0, aria=False)
    return [
        whole.encode(y=y_place("end")),  # every share; a loss may go on
        x_title.encode(x=alt.value(alt.expr("width / 2")), y=alt.value(_HEIGHT + 34)),
        y_title.encode(x=alt.value(-30), y=alt.value(-12)),
    ]
