"""The charts of a page: which there are, what stands beside each, and the data that a table of it lists."""

import dataclasses
from collections.abc import Callable, Mapping

import altair as alt
import pandas as pd

from sandbox.report.charts.explore import FIELDS, explore
from sandbox.report.charts.panels import (
    CURVES_FIELDS,
    HEATMAP_FIELDS,
    RATES_FIELDS,
    curves_chart,
    heatmap_chart,
    rates_chart,
)
from sandbox.report.charts.parts import CONFIG, OTHERS
from sandbox.report.charts.tables import chart_tables, numbered
from sandbox.report.crowd import MOST_ROWS
from sandbox.report.data import ReportData
from sandbox.report.drawing import Drawing
from sandbox.report.intervals import interval_in_words

EXPLORE = "explore"
"""The name of the main chart."""

_MAIN_CAPTION = (
    "{interval} Ends are cut at 0 and 100 %. Small dots: single seeds{others}. Grey steps: the best mean at no "
    "higher cost. Dashed: chance, and models without the setting on the x axis. Models at one place stand side by "
    "side."
)
_OTHERS = "; grey ones: models that the legend has no room for"
_TO_CLICK = (
    "A click on a point shows the command that makes it again; one on the legend highlights in all charts, until "
    "the next on it or beside the points."
)

_ASIDES = {
    "heatmap": "",
    "curves": " Bands are those of what is highlighted; a thicker line is a larger model.",
    "learning_rates": " A thicker line is a larger model.",
}
"""What only the chart has, to follow the caption of its figure."""


@dataclasses.dataclass(frozen=True)
class PageChart:
    """A chart, its title and caption, and the fields of its data -> their heads in the table of the chart."""

    chart: alt.TopLevelMixin
    title: str
    caption: str
    fields: Mapping[str, str]
    replaces: str
    """The figure that shows the same, and is not on the page therefore."""
    to_click: str = ""
    """What a pointer can do with it, which paper cannot."""

    @property
    def heads(self) -> dict[str, str]:
        """The fields without the letter of their type."""
        return {field.partition(":")[0]: head for field, head in self.fields.items()}


def page_charts(
    data: ReportData, drawings: Mapping[str, Drawing], commands: Mapping[tuple[str, str], str]
) -> dict[str, PageChart]:
    """The charts by name, in the order of the page: of all points, and of each figure that was drawn.

    `commands` has the command of each run by its study and id, where known.
    """
    tables = chart_tables(data, commands)
    charts = {}
    if tables.points[tables.scores].notna().any(axis=None):
        interval = interval_in_words(tables.points["num_seeds"])
        crowded = any((tables.configs[column] == OTHERS).any() for column in tables.groups.values())
        caption = _MAIN_CAPTION.format(interval=interval, others=_OTHERS if crowded else "")
        charts[EXPLORE] = PageChart(
            explore(tables, data.keys), "Scores against costs", caption, FIELDS, "frontier", _TO_CLICK
        )
    groups = tables.configs[[CONFIG, *tables.groups.values()]]
    panels: dict[str, tuple[Callable[[pd.DataFrame], alt.LayerChart], str, Mapping[str, str]]] = {
        "heatmap": (
            lambda frame: heatmap_chart(frame, groups, data.size, data.columns),
            "Scores by difficulty",
            HEATMAP_FIELDS,
        ),
        "curves": (lambda frame: curves_chart(frame, groups, data.size), "Learning curves", CURVES_FIELDS),
        "learning_rates": (lambda frame: rates_chart(frame, groups, data.size), "Learning rates", RATES_FIELDS),
    }
    for name in (name for name in panels if name in drawings):
        draw, title, fields = panels[name]
        frame = numbered(drawings[name].frame, data)
        charts[f"{name}_chart"] = PageChart(
            draw(frame), title, drawings[name].caption + _ASIDES[name] + _crowd(frame), fields, name
        )
    return charts


def _crowd(frame: pd.DataFrame) -> str:
    count = frame[CONFIG].nunique()
    return f" {MOST_ROWS} of {count} models are shown, those that scored best." if count > MOST_ROWS else ""
