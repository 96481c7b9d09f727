"""One self-contained HTML page: figures, table, what went wrong, and what was run."""

import base64
import importlib.resources
from collections.abc import Sequence

import jinja2
import pandas as pd

from sandbox.report.drawing import Drawing
from sandbox.report.points import config_keys, failures, format_value
from sandbox.report.tables import Table
from sandbox.results import outcomes

CAPTIONS = {
    "frontier": "Test accuracy ({slice}) at the learning rate that validation chose: mean over seeds with "
    "its 95 % bootstrap interval. Grey: the best mean of all series of a task up to there.",
    "heatmap": "Test accuracy in per cent, mean over seeds. A dagger marks a cell with a diverged member.",
    "curves": "Validation accuracy at the selected learning rate: mean over seeds, band from the worst seed "
    "to the best. A member that stopped early keeps its last accuracy.",
    "learning_rates": "Validation accuracy of every member and the mean of each learning rate; a ring marks "
    "the selected one. A ring at an end of the grid asks for a wider grid.",
}
_PIXELS_PER_INCH = 128
_RAN_ON = ("platform", "implementation", "population")


def render_page(
    records: pd.DataFrame,
    table: Table,
    drawings: Sequence[Drawing],
    notes: Sequence[str],
    keys: Sequence[str],
) -> str:
    """The page as HTML text, with the figures inside it as PNG."""
    template = importlib.resources.files("sandbox.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    versions = [name for name in records.columns if name.startswith("versions.")]
    common = [key for key in config_keys(records) if records[key].nunique(dropna=False) == 1]
    return environment.from_string(template).render(
        title=", ".join(dict.fromkeys(records["study"])) or "Report",
        counts=outcomes(records),
        figures=[_figure(drawing) for drawing in drawings],
        table=table,
        notes=notes,
        failures=failures(records).to_dict("records"),
        ran_on={name: _values(records[name]) for name in _RAN_ON}
        | {name.removeprefix("versions."): _values(records[name]) for name in versions},
        varied={key: _values(records[key]) for key in keys},
        common={key: format_value(records[key].iloc[0]) for key in common},
    )


def _figure(drawing: Drawing) -> dict[str, object]:
    slices = drawing.numbers.get("slice", pd.Series(dtype=str)).drop_duplicates()
    return {
        "name": drawing.name,
        "caption": CAPTIONS[drawing.name].format(slice=", ".join(slices)),
        "width": round(drawing.figure.get_figwidth() * _PIXELS_PER_INCH),
        "png": base64.b64encode(drawing.png).decode(),
    }


def _values(column: pd.Series) -> str:
    return ", ".join(format_value(value) for value in column.drop_duplicates())
