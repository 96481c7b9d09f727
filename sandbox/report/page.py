"""The page of a report: one self-contained HTML file with its figures, its table, failures and settings."""

import base64
from collections.abc import Mapping, Sequence

import jinja2
import pandas as pd

from sandbox.report.drawing import Drawing
from sandbox.report.intervals import INTERVAL
from sandbox.report.points import config_keys, failures
from sandbox.report.rates import EDGE_NOTE
from sandbox.report.series import format_value
from sandbox.report.tables import Table
from sandbox.tables import outcomes

_PIXELS_PER_INCH = 128
_RAN_ON = ("platform", "implementation", "population", "commit")


def render_page(
    records: pd.DataFrame,
    table: Table,
    drawings: Mapping[str, Drawing],
    notes: Sequence[str],
    keys: Sequence[str],
    apart: Sequence[str],
) -> str:
    """The page as HTML, with the figures embedded as PNG images; `apart` says in words which series differ."""
    versions = [name for name in records.columns if name.startswith("versions.")]
    common = [key for key in config_keys(records) if records[key].nunique(dropna=False) == 1]
    return render(
        "page.html.j2",
        title=", ".join(dict.fromkeys(records["study"])) or "Report",
        counts=outcomes(records),
        figures=embedded(drawings),
        table=table,
        interval=INTERVAL,
        edge_note=EDGE_NOTE,
        notes=notes,
        apart=apart,
        failures=failures(records).to_dict("records"),
        ran_on={name: _values(records[name]) for name in _RAN_ON}
        | {name.removeprefix("versions."): _values(records[name]) for name in versions},
        varied={key: _values(records[key]) for key in keys},
        common={key: format_value(records[key].iloc[0]) for key in common},
    )


def render(template: str, **values: object) -> str:
    """A template beside this file, with these values in it."""
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PackageLoader("sandbox.report", ""),
    )
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
