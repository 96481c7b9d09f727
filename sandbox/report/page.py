"""The page of a report: one self-contained HTML file with charts, tables, failures and settings."""

import base64
import dataclasses
import pathlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from sandbox.report.claims import CLAIMS, claims_table
from sandbox.report.data import ReportData
from sandbox.report.drawing import Drawing
from sandbox.report.finding import read_finding, without_markdown
from sandbox.report.intervals import INTERVAL
from sandbox.report.points import config_keys, diverged_runs, failures
from sandbox.report.rates import EDGE_NOTE
from sandbox.report.series import format_value
from sandbox.report.style import AXIS_NAMES, MEASURES_IN_WORDS
from sandbox.report.tables import Table
from sandbox.tables import outcomes

_PIXELS_PER_INCH = 128
_MOST_EMBEDDED = 100_000
"""Letters of the table of differences that a page offers; of 500 runs it would make the page five times larger."""
_RAN_ON = ("platform", "implementation", "population", "commit")


@dataclasses.dataclass(frozen=True)
class Watching:
    """Of a page that is written while runs go on: when, how many are not finished, and how often it is."""

    written: str
    unfinished: int
    seconds: int


def render_page(
    data: ReportData,
    table: Table,
    csv: str,
    differences: str,
    drawings: Mapping[str, Drawing],
    notes: Sequence[str],
    apart: Sequence[str],
    *,
    commands: Mapping[tuple[str, str], str],
    folder: pathlib.Path,
    watching: Watching | None = None,
) -> str:
    """The page as HTML: interactive charts, figures that have no chart as PNG images, and tables.

    Args:
        table: the scores as they are printed; `csv` has them all, for the reader to keep.
        differences: all pairs that were tested, as CSV; if they are very many, the page leaves them to their file.
        drawings: the figures.
        notes: what is left out, a line each.
        apart: says in words which series differ.
        commands: the command of each run by its study and id, where known.
        folder: where the records stand, and with them perhaps claims and a README.
        watching: None if no runs are waited for.
    """
    # Not at the top: a command that finds its report written should not load a second's worth of Vega.
    from sandbox.report.charts.on_page import page_charts
    from sandbox.report.vega import chart_scripts

    records, finding = data.records, read_finding(folder)
    charts = page_charts(data, drawings, commands)
    replaced = {chart.replaces for chart in charts.values()}
    return render(
        "page.html.j2",
        title=", ".join(dict.fromkeys(records["study"])) or "Report",
        watching=watching,
        reload=reload_tag(watching.seconds) if watching else "",
        finding=finding
        and finding._replace(
            in_short=without_markdown(finding.in_short), method=[without_markdown(part) for part in finding.method]
        ),
        counts=outcomes(records),
        charts=charts,
        scripts=chart_scripts({name: chart.chart for name, chart in charts.items()}) if charts else "",
        figures=embedded({name: drawing for name, drawing in drawings.items() if name not in replaced}),
        table=table,
        csv=_encoded(csv),
        differences=_encoded(differences) if len(differences) < _MOST_EMBEDDED else "",
        claims=_claims(folder),
        measures={AXIS_NAMES[name]: text for name, text in MEASURES_IN_WORDS.items()},
        interval=INTERVAL,
        edge_note=EDGE_NOTE,
        notes=notes,
        apart=apart,
        failures=failures(records).to_dict("records"),
        diverged=diverged_runs(records).to_dict("records"),
        **_settings(records, data.keys),
    )


def _settings(records: pd.DataFrame, varied: Sequence[str]) -> dict[str, dict[str, str]]:
    """What the runs ran on, the values of the keys that vary, and those that all have in common."""
    versions = [name for name in records.columns if name.startswith("versions.")]
    common = [key for key in config_keys(records) if records[key].nunique(dropna=False) == 1]
    return {
        "ran_on": {name: _values(records[name]) for name in _RAN_ON}
        | {name.removeprefix("versions."): _values(records[name]) for name in versions},
        "varied": {key: _values(records[key]) for key in varied},
        "common": {key: format_value(records[key].iloc[0]) for key in common},
    }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def reload_tag(seconds: int) -> Markup:
    """What makes a browser load the page again after these seconds."""
    return Markup(f'<meta http-equiv="refresh" content="{seconds}">')


def _claims(folder: pathlib.Path) -> list[dict[str, str]]:
    """The claims beside the records, with our value and its interval as text."""
    if not (folder / CLAIMS).is_file():
        return []
    rows = claims_table(folder).to_dict("records")
    return [{**{str(key): str(value) for key, value in row.items()}, "value": _ours(row)} for row in rows]


def _ours(row: Mapping[Hashable, Any]) -> str:
    if row["ours"] != row["ours"]:
        return ""
    return f"{row['ours']:.3g}" + (f" ({row['low']:.3g} to {row['high']:.3g})" if row["low"] == row["low"] else "")


def render(template: str, **values: object) -> str:
    """A template beside this file, with these values in it."""
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PackageLoader("sandbox.report", ""),
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # columns of a table keep their order
    return environment.get_template(template).render(**values)


def embedded(drawings: Mapping[str, Drawing]) -> list[dict[str, object]]:
    """The figures as templates show them, with PNG images in base64."""
    return [
        {
            "name": name,
            "caption": drawing.caption,
            "width": round(drawing.figure.get_figwidth() * _PIXELS_PER_INCH),
            "png": base64.b64encode(drawing.png).decode(),
        }
        for name, drawing in drawings.items()
    ]


def _values(column: pd.Series) -> str:
    return ", ".join(format_value(value) for value in column.drop_duplicates())
