"""What a run leaves behind: plain records in plain files, written last and atomically.

A run directory holds `config.yaml`, `metrics.csv` (a row per evaluation and member), `checkpoints/` while it
trains, and `summary.json`. The summary is written last by `os.replace`, so its presence means that the run is
finished.
"""

import dataclasses
import io
import json
import math
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from sandbox.errors import InputError

SUMMARY = "summary.json"
METRICS = "metrics.csv"
CONFIG = "config.yaml"
FAILURE = "failure.txt"
"""The traceback of a run that failed."""

RECORDS = "records.csv"
"""All records of a folder of runs in one table."""
CURVES = "evaluations.csv"
"""All their evaluations in one table, beside it."""

STATUS_OK = "ok"
STATUS_DIVERGED = "diverged"
STATUS_FAILED = "failed"
"""How the status of a failed run begins; `: why` follows."""


SCHEMA_VERSION = 2
"""Of records and their tables: 2 has `study` (1: `experiment`), `commit` and `schema_version`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One member of one run, scored on one slice of one split: one row of a table of results.

    The fields with defaults are those of a member; without them a record describes a run before it trains.
    """

    study: str
    """Folder that collects the runs of one study."""
    run_id: str
    """Content hash of the run's config: equal configs, equal ids."""
    label: str
    """Name of the run in figures and tables."""
    status: str = ""
    """`ok`, `diverged` (loss not finite; frozen at its last finite parameters) or `failed: why`."""
    split: str = ""
    """`validation` (which chose the learning rate) or `test` (which did not)."""
    slice: str = ""
    """`all`, or one difficulty of the task such as `pairs=16`."""
    learning_rate: float = math.nan
    seed: int = 0
    """Seeds the parameters and the training data of this member."""
    selected: bool = False
    """Whether this learning rate has the best validation accuracy of the run, averaged over its seeds."""
    accuracy: float = math.nan
    """Share of scored positions answered right, averaged over sequences; 0 to 1."""
    exact: float = math.nan
    """Share of sequences of which every scored position is answered right: whole strings, in copying tasks."""
    loss: float = math.nan
    """Cross entropy per scored position, in nats."""
    steps: int = 0
    """Optimiser steps that this member took; fewer than `train.steps` if it solved the task or diverged."""
    state_bytes: int
    """Bytes that decoding carries per sequence at the longest length tested, measured on the decode state."""
    parameters: int
    """Number of trained parameters."""
    training_flops_per_token: float
    """Operations of one training step, forward and backward without the optimiser, per token read, counting every
    loop iteration of the traced program; nan where that cannot be done."""
    decode_flops_per_token: float
    """Operations of one decoding step at the longest length tested."""
    seconds: float = math.nan
    """Wall time of the whole run, all members together, compilation included."""
    implementation: str
    """What ran: the implementations of scans and attention that the training step chose while it was traced."""
    population: str
    """How the members were mapped: `vmap` or `map`."""
    platform: str
    commit: str
    """Git commit of the code, with `-dirty` if files had changed since; `unknown` outside a checkout."""
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str]
    config: dict[str, Any]
    """The resolved config, flattened: `{"mixer.d_state": 16, ...}`."""

    def row(self) -> dict[str, Any]:
        """One flat row: the fields, then `versions.*`, then the config's own keys.

        A config key that has the name of a field (`seed`, `label`) becomes `config.seed`: the field says what
        this member had, the config what the run was asked for.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        versions, config = fields.pop("versions"), fields.pop("config")
        return (
            fields
            | {f"versions.{name}": version for name, version in versions.items()}
            | {f"config.{key}" if key in FIELDS else key: value for key, value in config.items()}
        )


FIELDS = tuple(f.name for f in dataclasses.fields(Record) if f.name not in ("versions", "config"))
"""The columns that every table of records has."""

TEXT_FIELDS = tuple(f.name for f in dataclasses.fields(Record) if f.type is str)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One member at one evaluation during training: one row of `metrics.csv`."""

    step: int
    learning_rate: float
    seed: int
    train_loss: float
    """Mean over the steps since the last evaluation, in nats."""
    validation_loss: float
    validation_accuracy: float


def is_finished(run_dir: str | os.PathLike[str]) -> bool:
    """Whether the run in this directory has written its summary."""
    return (pathlib.Path(run_dir) / SUMMARY).is_file()


def is_to_do(run_dir: str | os.PathLike[str]) -> bool:
    """Whether the same command should start this run: it has no summary, or that of a failure."""
    return not is_finished(run_dir) or any(
        record.status.startswith(STATUS_FAILED) for record in read_summary(run_dir)
    )


def write_summary(run_dir: str | os.PathLike[str], records: Sequence[Record]) -> None:
    """Marks the run as finished. Atomic: a reader sees the whole summary or none."""
    text = json.dumps({"records": [dataclasses.asdict(record) for record in records]}, indent=1)
    write_atomically(pathlib.Path(run_dir) / SUMMARY, text + "\n")


def read_summary(run_dir: str | os.PathLike[str]) -> list[Record]:
    """The records of one finished run; InputError where the file holds something else."""
    path = pathlib.Path(run_dir) / SUMMARY
    try:
        records = json.loads(path.read_text())["records"]
        if other := {record.get("schema_version", 1) for record in records} - {SCHEMA_VERSION}:
            raise InputError(f"{path}: schema_version {min(other)}, this version reads {SCHEMA_VERSION}")
        return [Record(**record) for record in records]
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a summary that this version can read ({error})") from error


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Replaces the file in one step, so that a crash leaves the old text or the new one."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def finished_runs(root: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The directories of all finished runs at or below `root`, sorted."""
    return sorted(path.parent for path in pathlib.Path(root).rglob(SUMMARY))


def unfinished_runs(root: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The directories at or below `root` with a config and no summary, sorted; hidden ones do not count."""
    root = pathlib.Path(root)
    return sorted(
        path.parent
        for path in root.rglob(CONFIG)
        if not is_finished(path.parent) and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Records as a table, one row each: the fields, then the versions, then the config keys, both sorted."""
    frame = pd.DataFrame([record.row() for record in records])
    others = sorted(set(frame.columns) - set(FIELDS), key=lambda name: (not name.startswith("versions."), name))
    return frame[[*FIELDS, *others]]


def collect(root: str | os.PathLike[str]) -> pd.DataFrame:
    """All records of all finished runs at or below `root`, by study, label, state size and run.

    `root` may also be a table that `sandbox-collect` wrote, or a folder that holds one and no runs. Both
    ways the same values come back: runs are read through the same CSV text.

    Raises FileNotFoundError where there is nothing to read, InputError where there is something else.
    """
    root = pathlib.Path(root)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such file or folder")
    runs = [] if root.is_file() else finished_runs(root)
    table = root if root.is_file() else root / RECORDS
    if not runs and table.is_file():
        frame = _read_csv(table)
        if missing := [name for name in FIELDS if name not in frame.columns]:
            raise InputError(f"{table}: not a table of records (no column {', '.join(missing)})")
        if frame.empty:
            raise InputError(f"{table}: no records in it")
        return frame
    records = [record for run in runs for record in read_summary(run)]
    if not records:
        raise FileNotFoundError(f"{root}: no finished run (no {SUMMARY}) at or below it")
    records.sort(key=lambda r: (r.study, r.label.casefold(), r.label, r.state_bytes, r.run_id))
    return _read_csv(io.StringIO(to_csv(to_frame(records))))


def collect_curves(root: str | os.PathLike[str]) -> pd.DataFrame:
    """The `metrics.csv` of all finished runs at or below `root`, with `study` and `run_id` to join on.

    For a table of records, the curves that `sandbox-collect` wrote beside it. Empty where there are none.
    """
    root = pathlib.Path(root)
    tables = []
    for run in [] if root.is_file() else finished_runs(root):
        records, metrics = read_summary(run), run / METRICS
        if records and metrics.is_file() and metrics.stat().st_size:
            joins = {"study": records[0].study, "run_id": records[0].run_id}
            tables.append(_read_csv(metrics).assign(**joins))
    if tables:
        frame = pd.concat(tables, ignore_index=True)
        return frame.sort_values(["study", "run_id"], kind="stable", ignore_index=True)
    collected = (root.parent if root.is_file() else root) / CURVES
    return _read_csv(collected) if collected.is_file() else pd.DataFrame()


def outcomes(records: pd.DataFrame) -> dict[str, int]:
    """How many runs, records and members a table of records holds, how many members diverged, runs failed."""
    run, member = ["study", "run_id"], ["study", "run_id", "learning_rate", "seed"]
    diverged = records["status"] == STATUS_DIVERGED
    failed = records["status"].str.startswith(STATUS_FAILED)
    return {
        "runs": len(records.drop_duplicates(run)),
        "records": len(records),
        "members": len(records.drop_duplicates(member)),
        "diverged": len(records[diverged].drop_duplicates(member)),
        "failed": len(records[failed].drop_duplicates(run)),
    }


def to_csv(frame: pd.DataFrame) -> str:
    """The table as CSV text, the same bytes on every system."""
    return frame.to_csv(index=False, lineterminator="\n")


def _read_csv(source: pathlib.Path | io.StringIO) -> pd.DataFrame:
    """Reads back what `to_csv` wrote, with text as text: a run id `12e4`, a version `0.10`.

    A word such as `None` or `NA` may be the value of an option: only an empty field and `nan` mean that it
    has none.
    """
    try:
        columns = pd.read_csv(source, nrows=0).columns
        if not isinstance(source, pathlib.Path):
            source.seek(0)
        text = {name: str for name in columns if name in TEXT_FIELDS or name.startswith("versions.")}
        frame = pd.read_csv(
            source,
            dtype=text,
            keep_default_na=False,
            na_values=["", "nan"],
            low_memory=False,
        )
        return frame.fillna(dict.fromkeys(text, ""))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: not a CSV table ({str(error).strip()})") from error
