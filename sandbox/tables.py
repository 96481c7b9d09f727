"""The records and the evaluations of runs as tables, and the CSV files that hold them."""

import csv
import dataclasses
import io
import os
import pathlib
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from sandbox.added_later import ADDED_LATER
from sandbox.errors import DamagedFile, DamagedFileWarning, InputError
from sandbox.results import (
    CURVES,
    EVALUATION_FIELDS,
    FIELDS,
    LATER_FIELDS,
    MEMBER,
    RECORDS,
    RUN,
    STATUS_DIVERGED,
    STATUS_FAILED,
    TEXT_FIELDS,
    Record,
    check_version,
)
from sandbox.run_folder import METRICS, SUMMARY, finished_runs, labels_of, read_summary

Labels = Mapping[str, Collection[str]]
"""Run id -> the names under which the run stands in a table."""


def table_of_records(records: Iterable[Record]) -> pd.DataFrame:
    """One table row per record: the fields, then the versions, then the config keys, both sorted."""
    rows = [record.row() for record in records]
    _add_later_options(rows)
    frame = pd.DataFrame(rows)
    others = sorted(set(frame.columns) - set(FIELDS), key=lambda name: (not name.startswith("versions."), name))
    return frame[[*FIELDS, *others]]


def _add_later_options(rows: list[dict[str, Any]]) -> None:
    """Adds to older rows the options that came after them (`ADDED_LATER`), if another row has them.

    Options of a mixer go to the rows of that mixer. Otherwise older and newer runs would look like two models.
    """
    columns = {column for row in rows for column in row}
    for (group, name), value in ADDED_LATER.items():
        for key in [column for column in columns if _is_option(column, group, name)]:
            mixer = f"{key.removesuffix(name)}name"  # of what is no mixer there is none, and all rows are alike
            mixers = {row.get(mixer) for row in rows if key in row}
            for row in rows:
                if key not in row and row.get(mixer) in mixers:
                    row[key] = str(value) if isinstance(value, list) else value


def _is_option(key: str, group: str, name: str) -> bool:
    """Whether a column is this option; an option of mixers may be that of a layer in `model.mixers`."""
    place, _, last = key.rpartition(".")
    return last == name and (place == group or (group == "mixer" and place.startswith("model.mixers.")))


def collect(root: str | os.PathLike[str], labels: Labels | None = None) -> pd.DataFrame:
    """The records of finished runs (see `finished_runs`), by study, label, state size and run.

    `labels` are the runs to take, by their ids, and the names that each stands under; None: all, under every name
    that a command gave them. A run with two names has two rows per record. A damaged run is left out, with a
    DamagedFileWarning.

    `root` may also be a table that `sandbox-collect` wrote, or a folder with such a table and no runs. The values
    are the same either way, because the records of runs are converted to CSV text and back.

    Raises FileNotFoundError if there is nothing to read, and InputError if it is something else.
    """
    root = pathlib.Path(root)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such file or folder")
    runs = dict(_runs(root, labels, warn=True))
    table = root if root.is_file() else root / RECORDS
    all_damaged = not runs and root.is_dir() and bool(finished_runs(root, labels))
    if not runs and table.is_file() and not all_damaged:
        frame = _read_csv(table)
        for version in frame["schema_version"].unique() if "schema_version" in frame else [None]:
            check_version(table, frame.columns, version)
        frame = frame.assign(**{name: value for name, value in LATER_FIELDS.items() if name not in frame})
        if missing := [name for name in FIELDS if name not in frame.columns]:
            raise InputError(f"{table}: not a table of records (no column {', '.join(missing)})")
        if frame.empty:
            raise InputError(f"{table}: no records in it")
        return frame
    records = [
        dataclasses.replace(record, label=label)
        for run, of_run in runs.items()
        for label in (labels[run.name] if labels is not None else labels_of(run) or [of_run[0].label])
        for record in of_run
    ]
    if not records:
        reason = "all are damaged" if all_damaged else f"no {SUMMARY}"
        raise FileNotFoundError(f"{root}: no finished run ({reason}) at or below it")
    records.sort(key=lambda r: (r.study, r.label.casefold(), r.label, r.state_bytes, r.run_id))
    return _read_csv(io.StringIO(to_csv(table_of_records(records))))


def collect_curves(root: str | os.PathLike[str], labels: Labels | None = None) -> pd.DataFrame:
    """The evaluations of the runs that `collect` takes, with the columns `RUN` to join on.

    If `root` is a table of records, the evaluations that `sandbox-collect` wrote beside it. No rows if none exist.
    """
    root = pathlib.Path(root)
    runs = list(_runs(root, labels, warn=False))
    tables = [
        _read_csv(run / METRICS).assign(**{name: getattr(records[0], name) for name in RUN})
        for run, records in runs
        if (run / METRICS).is_file() and (run / METRICS).stat().st_size
    ]
    if tables:
        frame = pd.concat(tables, ignore_index=True)
        return frame.sort_values(RUN, kind="stable", ignore_index=True)
    collected = (root.parent if root.is_file() else root) / CURVES
    if runs or not collected.is_file():
        return pd.DataFrame(columns=[*EVALUATION_FIELDS, *RUN])
    return _read_csv(collected)


def _runs(root: pathlib.Path, labels: Labels | None, *, warn: bool) -> Iterator[tuple[pathlib.Path, list[Record]]]:
    """The folder of each run and its records; damaged ones are left out."""
    for run in [] if root.is_file() else finished_runs(root, labels):
        try:
            records = read_summary(run)
        except DamagedFile as error:
            if warn:
                warnings.warn(f"{error}; the run is left out", DamagedFileWarning, stacklevel=3)
        else:
            yield run, records


def outcomes(records: pd.DataFrame) -> dict[str, int]:
    """The numbers of runs, records, members, diverged members and failed runs in a table of records."""
    diverged = records["status"] == STATUS_DIVERGED
    failed = records["status"].str.startswith(STATUS_FAILED)
    return {
        "runs": len(records.drop_duplicates(RUN)),
        "records": len(records),
        "members": len(records.drop_duplicates(MEMBER)),
        "diverged": len(records[diverged].drop_duplicates(MEMBER)),
        "failed": len(records[failed].drop_duplicates(RUN)),
    }


def to_csv(frame: pd.DataFrame) -> str:
    """The table as CSV text, the same bytes on every system."""
    return frame.to_csv(index=False, lineterminator="\n")


def _read_csv(source: pathlib.Path | io.StringIO) -> pd.DataFrame:
    """Reads what `to_csv` wrote and keeps text as text: a run id `12e4`, a version `0.10`.

    Of numbers and options, only an empty field and `nan` are missing values: `None` and `NA` may be options.
    Raises InputError for a file that is not such a table, or only the beginning of one.
    """
    try:
        columns = pd.read_csv(source, nrows=0).columns
        if isinstance(source, pathlib.Path):
            last = next(csv.reader([source.read_text().rstrip("\n").rpartition("\n")[2]]))
            if len(last) < len(columns):  # pandas would fill it up with missing values
                raise InputError(f"{source}: cut off, its last row has {len(last)} of {len(columns)} fields")
        else:
            source.seek(0)
        text = {name: str for name in columns if name in TEXT_FIELDS or name.startswith("versions.")}
        missing = {name: ["", "nan"] for name in columns if name not in text}
        table = pd.read_csv(source, dtype=text, keep_default_na=False, na_values=missing, low_memory=False)
        return table.copy()  # joins its columns in memory: pandas warns where a hundred lie apart
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: not a CSV table ({str(error).strip()})") from error
