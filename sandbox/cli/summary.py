"""What a finished sweep leaves behind and prints: a table of its records, the report, the scores."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import filelock
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.measure import Measurement
from rich.table import Table as TerminalTable

from sandbox.cli.display import console
from sandbox.cli.reproduce import commands
from sandbox.errors import InputError, NoSpace
from sandbox.files import out_of_space, write_atomically
from sandbox.report.fonts import without_glyph
from sandbox.report.intervals import INTERVAL
from sandbox.report.rates import EDGE_NOTE
from sandbox.report.tables import Score, Table
from sandbox.report.write import PAGE, scores_of, write_report
from sandbox.results import CURVES, RECORDS
from sandbox.run_folder import LOCK
from sandbox.short_names import short_names
from sandbox.tables import Labels, collect, collect_curves, to_csv

if TYPE_CHECKING:
    from sandbox.config import ReportConfig

OPTIONS = "options.json"
"""What a report shows, beside the tables that it shows it of."""


def summarise_runs(folder: pathlib.Path, labels: Labels, report: "ReportConfig") -> None:
    """Writes a report on these runs of the folder to `folder/report`, and prints their scores.

    `labels` are the runs by their ids, and the names that each stands under; `report` says what to show. A report
    that is there already, on the same records and with the same options, stays as it is: drawing takes seconds.
    """
    out = folder / "report"
    options = dataclasses.asdict(report)
    files = {
        RECORDS: to_csv(collect(folder, labels)),
        CURVES: to_csv(collect_curves(folder, labels)),
        OPTIONS: json.dumps(options) + "\n",
    }
    try:
        table = _report(out, files, options)
    except OSError as error:
        if (lack := out_of_space(error)) is None:
            raise
        raise NoSpace(f"{out}: {lack}; the results are there, the same command writes the report") from error
    print_scores(table)
    for note in without_glyph(series for (series, *_), _ in table.rows):
        console.print(note)
    for name in ("frontier.png", PAGE):
        if (out / name).is_file():
            console.print(f"{name}: {out / name}")


def _report(out: pathlib.Path, files: Mapping[str, str], options: Mapping[str, Any]) -> Table:
    """The scores of a report on the tables among these files, which is written unless it is there."""
    out.mkdir(exist_ok=True)
    with filelock.FileLock(out / LOCK):  # commands that share a sweep end together
        return _report_alone(out, files, options)


def _report_alone(out: pathlib.Path, files: Mapping[str, str], options: Mapping[str, Any]) -> Table:
    if (out / PAGE).is_file() and all(_holds(out / name, text) for name, text in files.items()):
        return scores_of(out / RECORDS)
    (out / PAGE).unlink(missing_ok=True)
    for name, text in files.items():
        write_atomically(out / name, text)
    try:
        return write_report(out / RECORDS, out, commands=commands, **options).table
    except InputError as error:  # no run that has the key has come to an end
        console.print(f"the report leaves out its options: {error}")
        return write_report(out / RECORDS, out, commands=commands).table


def _holds(path: pathlib.Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def print_scores(scored: Table) -> None:
    """Prints test accuracy in per cent at the selected learning rate: mean and interval.

    In a narrow terminal, names break between words and, if that is not enough, intervals are left out.
    """
    title = f"test accuracy, per cent: mean ± half of the {INTERVAL} over seeds"
    table = _score_table(scored, title, with_intervals=True)
    if _narrowest(table) > console.width:
        title = "test accuracy, per cent: mean over seeds (a wider terminal shows intervals)"
        table = _score_table(scored, title, with_intervals=False)
    if (narrowest := _narrowest(table)) > console.width:
        table.width = narrowest
    console.print(table, crop=False)
    if scored.has_edges:
        console.print(EDGE_NOTE)


def _score_table(scored: Table, title: str, *, with_intervals: bool) -> TerminalTable:
    def cell(score: Score) -> str:
        return f"{score.mean} ± {score.half_width}" if score.half_width and with_intervals else score.mean

    table = TerminalTable(title=title, title_justify="left", box=SIMPLE_HEAD)
    names = short_names(series for (series, *_), _ in scored.rows)
    rows = [[names[series], *texts, *map(cell, scores)] for (series, *texts), scores in scored.rows]
    heads = [*scored.heads, *scored.slices]
    for number, head in enumerate(heads):
        texts = [head, *(row[number] for row in rows)]
        parts = texts if number else [word for text in texts for word in text.split()]  # names may be broken
        justify: JustifyMethod = "left" if number < len(scored.heads) else "right"
        table.add_column(head, justify=justify, no_wrap=number > 0, min_width=max(map(cell_len, parts), default=0))
    for row in rows:
        table.add_row(*row)
    return table


def _narrowest(table: TerminalTable) -> int:
    """The smallest width of a terminal that shows the table whole."""
    return Measurement.get(console, console.options.update(max_width=10_000), table).minimum
