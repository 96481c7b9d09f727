"""Writes a report: from a folder of runs, or the table collected from it, to a folder of figures and tables."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from sandbox.counted import counted
from sandbox.errors import InputError
from sandbox.files import write_atomically
from sandbox.report.curves import curves
from sandbox.report.data import ReportData, read_data, report_data
from sandbox.report.differences import differences, differences_in_words
from sandbox.report.drawing import Drawing, NothingToDraw, check_formats, draw_all, drawing_style
from sandbox.report.frontier import frontier
from sandbox.report.heatmap import heatmap
from sandbox.report.latex import to_latex
from sandbox.report.learning_rates import learning_rates
from sandbox.report.page import Watching, render_page
from sandbox.report.points import failures, runs_not_shown
from sandbox.report.rates import rate_windows
from sandbox.report.slices import a_few_of
from sandbox.report.tables import Table, printed_table, wide_table
from sandbox.results import EVALUATION_FIELDS, RUN, SLICE, STATUS_FAILED
from sandbox.tables import to_csv

FIGURES: dict[str, Callable[[ReportData], Drawing]] = {
    "frontier": lambda data: frontier(data.frontier_points, data.keys, data.x, data.slice_name, data.y),
    "heatmap": lambda data: heatmap(data.points, data.keys, data.size, data.columns, data.slice_name),
    "curves": lambda data: curves(data.records, data.evaluations, data.keys, data.size),
    "learning_rates": lambda data: learning_rates(data.records, data.keys, data.size, data.slice_name),
}
"""Every figure of a report, by the name of its files, in the order of the page."""

PAGE = "report.html"
"""The file that is written last."""

DIFFERENCES = "differences.csv"
"""The file that says which series differ."""

_REASONS = 3  # why runs failed, as many as are named


@dataclasses.dataclass(frozen=True)
class Report:
    """The files of a report, notes on what they leave out (one line each), and its tables."""

    files: list[pathlib.Path]
    notes: list[str]
    table: Table
    differences: list[str]
    """The largest differences between series in words, one line each."""


def write_report(
    source: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    x: str = "state_bytes",
    y: str = "accuracy",
    slice: str | None = None,
    rows: str | None = None,
    columns: str = SLICE,
    formats: Sequence[str] = ("pdf", "png"),
    only: Sequence[str] = (),
    commands: Callable[[pd.DataFrame], Mapping[tuple[str, str], str]] = lambda records: {},
    watching: Watching | None = None,
) -> Report:
    """Writes every figure, the table and one page about the runs at `source` into `out_dir`.

    A figure with nothing to show is left out, and a note says why.

    Args:
        source: a folder of runs, or the `records.csv` collected from it (with `evaluations.csv` beside it).
        out_dir: created if it is missing; files of an earlier report in it are replaced.
        x: the numeric column on the x axis of the frontier, or `slice`, the difficulty.
        y: the share on its y axis: `accuracy`, `exact`, `free_running` or `macro_accuracy`.
        slice: what the frontier shows, such as `pairs=16`; by default the hardest slice that all tasks have.
        rows: the size in heatmap and curves; by default `mixer.d_state` if every run has it and it varies, else
            the state bytes.
        columns: the columns of the heatmap: `slice`, or a key of the config such as `mixer.decay`.
        formats: of the figures: pdf, png, svg.
        only: texts KEY=VALUE, which leave out runs with other values; several of one key are alternatives.
        commands: gives the command that makes each run again, by study and run id, for the page to show.
        watching: what the page says of runs that are not finished; None: nothing.

    Raises FileNotFoundError if there are no runs, and InputError for a name that the records do not have.
    """
    check_formats(formats)
    data = read_data(source, x, slice, rows, columns, only, y)
    folder = pathlib.Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {name: functools.partial(_draw_or_say_why, draw, data) for name, draw in FIGURES.items()}
    drawn = draw_all(figures, folder, formats, _texts(data))
    table, printed = _tables(data)
    apart = differences(data.records, data.keys, data.size, data.slice_name)
    words = differences_in_words(apart, data.size, DIFFERENCES)
    notes = [*_runs_left_out(data), *drawn.notes, *_slices_left_out(data, printed)]
    texts = {
        "table.csv": to_csv(table),
        "table.tex": to_latex(printed),
        DIFFERENCES: to_csv(apart),
    }
    page = functools.partial(render_page, commands=commands(data.records), folder=records_folder(source))
    tables = (printed, texts["table.csv"], texts[DIFFERENCES])
    texts[PAGE] = page(data, *tables, drawn.drawings, notes, words, watching=watching)
    for name, text in texts.items():
        write_atomically(folder / name, text)
    files = [*drawn.files, *(folder / name for name in texts)]
    return Report(files, notes, printed, words)


def figure(
    name: str,
    records: pd.DataFrame,
    evaluations: pd.DataFrame | None = None,
    *,
    x: str = "state_bytes",
    y: str = "accuracy",
    slice: str | None = None,
    rows: str | None = None,
    columns: str = SLICE,
    only: Sequence[str] = (),
) -> Figure:
    """One figure of a report, as Matplotlib's object: `frontier`, `heatmap`, `curves` or `learning_rates`.

    Args:
        name: which of `FIGURES`.
        records: as `sandbox.tables.table_of_records` makes it of the records of runs, or `collect` of a folder.
        evaluations: as `sandbox.tables.collect_curves` makes it, for learning curves.
        x, y, slice, rows, columns, only: see `write_report`.

    Raises InputError for another name or an option that the records do not have, and NothingToDraw for records
    that lack what the figure shows.
    """
    if name not in FIGURES:
        raise InputError(f"figure {name!r}: must be one of {', '.join(FIGURES)}")
    curves_of = pd.DataFrame(columns=[*EVALUATION_FIELDS, *RUN]) if evaluations is None else evaluations
    data = report_data(records, curves_of, x, slice, rows, columns, only, y)
    with drawing_style(_texts(data)):
        return FIGURES[name](data).figure


def records_folder(source: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of the runs, or of the table that was collected from them."""
    path = pathlib.Path(source)
    return path.parent if path.is_file() else path


def _texts(data: ReportData) -> list[str]:
    """Every text that a user may have typed and a figure may show: labels, values and names of keys."""
    shown = data.records[["label", *data.keys]].select_dtypes(exclude="number")
    return [*(str(value) for name in shown for value in shown[name].unique()), *map(str, data.records.columns)]


def _draw_or_say_why(draw: Callable[[ReportData], Drawing], data: ReportData) -> Drawing:
    if len(failures(data.records)) == len(data.records.drop_duplicates(RUN)):
        raise NothingToDraw("every run failed")
    return draw(data)


def scores_of(source: str | os.PathLike[str]) -> Table:
    """The table that `write_report` would put on the page about the runs at `source`, without writing anything."""
    return _tables(read_data(source, "state_bytes", None, None, SLICE))[1]


def _tables(data: ReportData) -> tuple[pd.DataFrame, Table]:
    windows = rate_windows(data.records, data.keys, data.slice_name)
    table = wide_table(data.points, windows, data.keys, data.size)
    return table, printed_table(table, a_few_of(data.points["slice"]))


def _runs_left_out(data: ReportData) -> list[str]:
    runs, failed = len(data.records.drop_duplicates(RUN)), failures(data.records)
    notes = []
    if len(failed):
        alike = failed.groupby("status", sort=False)
        reasons = [
            f"{str(status).removeprefix(STATUS_FAILED + ': ')} ({rows['label'].iloc[0]}, {rows['run_id'].iloc[0]}"
            + (f" and {len(rows) - 1} more)" if len(rows) > 1 else ")")
            for status, rows in alike
        ]
        more = f"; {len(reasons) - _REASONS} more in {PAGE}" if len(reasons) > _REASONS else ""
        how_many = f"all {runs} runs" if len(failed) == runs > 1 else f"{len(failed)} of {runs} runs"
        notes.append(f"records: {how_many} failed: {'; '.join(reasons[:_REASONS])}{more}")
    if others := runs_not_shown(data.records) - len(failed):
        problem = "without a test score at a selected learning rate, in no table and no frontier"
        notes.append(f"records: {counted(others, 'run')} {problem}")
    return notes


def _slices_left_out(data: ReportData, table: Table) -> list[str]:
    shown, count = len(table.slices), data.points["slice"].nunique()
    return [f"table: {shown} of {count} slices are shown, table.csv has all"] if shown < count else []
