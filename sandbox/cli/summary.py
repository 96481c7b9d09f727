"""What a finished sweep leaves and shows: its records in one table, the report, the scores."""

import pathlib
from collections.abc import Collection

from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable

from sandbox.cli.display import console
from sandbox.report import write_report
from sandbox.report.write import Report
from sandbox.results import CURVES, RECORDS, collect, collect_curves, to_csv, write_atomically


def summarise(folder: pathlib.Path, run_ids: Collection[str]) -> None:
    """Reports on these runs, and no others that the folder may hold, in `folder/report`; prints their scores."""
    out = folder / "report"
    out.mkdir(exist_ok=True)
    for name, table in ((RECORDS, collect(folder)), (CURVES, collect_curves(folder))):
        write_atomically(out / name, to_csv(table[table["run_id"].isin(run_ids)]))
    report = write_report(out / RECORDS, out)
    print_scores(report)
    for name in ("frontier.png", "report.html"):
        if out / name in report.files:
            console.print(f"{name}: {out / name}")


def print_scores(report: Report) -> None:
    """The table of the report: test accuracy in per cent at the selected learning rate, mean and interval."""
    title = "test accuracy, per cent: mean ± half of the interval over seeds"
    table = TerminalTable(title=title, title_justify="left", box=SIMPLE_HEAD)
    for head in report.table.heads:
        table.add_column(head, no_wrap=True)
    for name in report.table.slices:
        table.add_column(name, justify="right")
    for texts, scores in report.table.rows:
        cells = [f"{score.mean} ± {score.half}" if score.half else score.mean for score in scores]
        table.add_row(*texts, *cells)
    console.print(table)
