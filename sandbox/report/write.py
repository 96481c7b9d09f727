"""From a folder of runs, or the table collected from it, to a folder of figures and tables."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import matplotlib as mpl
import pandas as pd

from sandbox.errors import InputError
from sandbox.report.curves import curves
from sandbox.report.drawing import FORMATS, Drawing, NothingToDraw, check_formats
from sandbox.report.frontier import frontier
from sandbox.report.heatmap import SLICE, heatmap
from sandbox.report.latex import to_latex
from sandbox.report.learning_rates import learning_rates
from sandbox.report.page import render_page
from sandbox.report.points import (
    MEASURES,
    TASK,
    check_axis,
    config_keys,
    make_points,
    runs_not_shown,
    size_column,
    varying_keys,
)
from sandbox.report.slices import a_few_of, choose_slice
from sandbox.report.style import RC
from sandbox.report.tables import Table, printed_table, wide_table
from sandbox.results import collect, collect_curves, to_csv, write_atomically


@dataclasses.dataclass(frozen=True)
class Report:
    """What was written, the table in it, and what could not be drawn, a line each."""

    files: list[pathlib.Path]
    notes: list[str]
    table: Table


def write_report(
    source: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    x: str = "state_bytes",
    slice: str | None = None,
    rows: str | None = None,
    columns: str = SLICE,
    formats: Sequence[str] = ("pdf", "png"),
) -> Report:
    """Writes every figure, the table and one page about the runs at `source` into `out_dir`.

    Args:
        source: a folder of runs, or the `records.csv` collected from it (with `evaluations.csv` beside it).
        out_dir: made where it is missing; files of an earlier report in it are replaced.
        x: the column of numbers that the frontier is drawn against.
        slice: what the frontier shows, such as `pairs=16`; by default the hardest that all tasks have.
        rows: the size in heatmap and curves; by default `mixer.d_state` where every run has one and it
            varies, else the state bytes.
        columns: of the heatmap: the slices, or a key of the config such as `mixer.decay`.
        formats: of the figures: pdf, png, svg.

    Raises FileNotFoundError where there are no runs, InputError for a name that the records do not have. A
    figure without anything to show is left out, with the reason in the notes.
    """
    check_formats(formats)
    records, evaluations = collect(source), collect_curves(source)
    check_axis(records, x, "--x")
    if rows is not None:
        check_axis(records, rows, "--rows")
    if columns != SLICE and columns not in config_keys(records):
        keys = [key for key in varying_keys(records) if key in config_keys(records)]
        raise InputError(f"--columns {columns!r}: no such key; there are {', '.join([SLICE, *keys])}")
    tested = records[records["split"] == "test"]
    keys = varying_keys(records)
    slice_name = _choose_slice(records if tested.empty else tested, slice, several_tasks=TASK in keys)
    asked = [name for name in (x, rows, columns) if name is not None and name != SLICE]
    points = make_points(records, [*MEASURES, *asked])
    size = rows or size_column(records)

    folder = pathlib.Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    notes = _not_shown(records)
    plans: dict[str, Callable[[], Drawing]] = {
        "frontier": lambda: frontier(points, keys, x, slice_name),
        "heatmap": lambda: heatmap(points, keys, size, columns, slice_name),
        "curves": lambda: curves(records, evaluations, keys, size),
        "learning_rates": lambda: learning_rates(records, keys, size, slice_name),
    }
    files, drawings = [], []
    with mpl.rc_context(RC):
        for name, draw in plans.items():
            for suffix in (*FORMATS, "csv"):
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)
            try:
                drawing = draw()
            except NothingToDraw as reason:
                notes.append(f"{name}: not drawn, {reason}")
                continue
            notes += drawing.notes
            drawings.append(drawing)
            files += drawing.write(folder, formats)
    table = wide_table(points, keys, size)
    printed = printed_table(table, a_few_of(points["slice"]))
    if len(printed.slices) < (count := points["slice"].nunique()):
        notes.append(f"table: {len(printed.slices)} of {count} slices are shown, table.csv has all")
    texts = {
        "table.csv": to_csv(table),
        "table.tex": to_latex(printed),
        "report.html": render_page(records, printed, drawings, notes, keys),
    }
    for name, text in texts.items():
        files.append(folder / name)
        write_atomically(files[-1], text)
    return Report(files, notes, printed)


def _choose_slice(rows: pd.DataFrame, wanted: str | None, *, several_tasks: bool) -> str:
    """Tasks are scored on different slices: without a wish, one that all runs have."""
    if several_tasks and wanted is None:
        scored = rows.groupby("slice", sort=False)["run_id"].nunique()
        return choose_slice(scored[scored == rows["run_id"].nunique()].index)
    return choose_slice(rows["slice"], wanted)


def _not_shown(records: pd.DataFrame) -> list[str]:
    count = runs_not_shown(records)
    problem = "without a test score at a selected learning rate, in no table and no frontier"
    return [f"records: {count} run{'s' * (count > 1)} {problem}"] if count else []
