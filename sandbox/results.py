"""What a run leaves behind: plain records in plain files, written last and atomically.

A run directory holds `config.yaml`, `metrics.csv` (a row per evaluation and member), `checkpoints/` while it trains,
and `summary.json`. The summary is written last by `os.replace`, so its presence means that the run is finished.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

SUMMARY = "summary.json"
METRICS = "metrics.csv"

STATUS_OK = "ok"
STATUS_DIVERGED = "diverged"


@dataclasses.dataclass(frozen=True)
class Record:
    """One member of one run, scored on one slice of one split: a row of every table and a point of every figure."""

    experiment: str
    """Folder that the run belongs to."""
    run_id: str
    """Content hash of the run's config: equal configs, equal ids."""
    label: str
    """Name of the series in figures and tables."""
    status: str
    """`ok`, `diverged` (loss not finite; frozen at its last finite parameters) or `failed: why`."""
    split: str
    """`validation` (which chose the learning rate) or `test` (which did not)."""
    slice: str
    """`all`, or one difficulty of the task such as `pairs=16`."""
    learning_rate: float
    seed: int
    """Seeds the parameters and the training data of this member."""
    selected: bool
    """Whether this learning rate has the best validation accuracy of the run, averaged over its seeds."""
    accuracy: float
    """Share of scored positions answered right, averaged over sequences; 0 to 1."""
    loss: float
    """Cross entropy per scored position, in nats."""
    steps: int
    """Optimiser steps that this member took; fewer than `train.steps` when it solved the task or diverged."""
    state_bytes: int
    """Bytes that decoding carries per sequence after `task.max_len` tokens, measured from the decode state."""
    parameters: int
    """Trained numbers in the model."""
    seconds: float
    """Wall time of the whole run, all members together, compilation included."""
    implementation: str
    """Which form of the scan ran."""
    population: str
    """How the members were mapped: `vmap` or `map`."""
    platform: str
    versions: dict[str, str]
    config: dict[str, Any]
    """The resolved config, flattened: `{"mixer.d_state": 16, ...}`."""

    def row(self) -> dict[str, Any]:
        """One flat row: the fields, then `versions.*`, then the config's own keys."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        versions, config = fields.pop("versions"), fields.pop("config")
        return fields | {f"versions.{name}": version for name, version in versions.items()} | config


def is_finished(run_dir: str | os.PathLike[str]) -> bool:
    """Whether the run in this directory has written its summary."""
    return (pathlib.Path(run_dir) / SUMMARY).is_file()


def write_summary(run_dir: str | os.PathLike[str], records: Sequence[Record]) -> None:
    """Marks the run as finished. Atomic: a reader sees the whole summary or none."""
    text = json.dumps({"records": [dataclasses.asdict(record) for record in records]}, indent=1)
    write_atomically(pathlib.Path(run_dir) / SUMMARY, text + "\n")


def read_summary(run_dir: str | os.PathLike[str]) -> list[Record]:
    """The records of one finished run."""
    loaded = json.loads((pathlib.Path(run_dir) / SUMMARY).read_text())
    return [Record(**record) for record in loaded["records"]]


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Replaces the file in one step, so that a crash leaves the old text or the new one."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def finished_runs(root: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The directories of all finished runs at or below `root`, sorted."""
    return sorted(path.parent for path in pathlib.Path(root).rglob(SUMMARY))


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Records as a table: one row each, one column per field and per config key."""
    return pd.DataFrame([record.row() for record in records])


def collect(root: str | os.PathLike[str]) -> pd.DataFrame:
    """All records of all finished runs at or below `root`; also reads a table that `collect` wrote (a CSV file).

    Raises FileNotFoundError where there is no finished run.
    """
    if pathlib.Path(root).is_file():
        return pd.read_csv(root, keep_default_na=False, na_values=["nan", ""])
    runs = finished_runs(root)
    if not runs:
        raise FileNotFoundError(f"{root}: no finished run (no {SUMMARY}) at or below it")
    return to_frame(record for run in runs for record in read_summary(run))


def collect_curves(root: str | os.PathLike[str]) -> pd.DataFrame:
    """The `metrics.csv` of all finished runs at or below `root`, with a `run_id` column to join on."""
    tables = [
        pd.read_csv(run / METRICS).assign(run_id=read_summary(run)[0].run_id) for run in finished_runs(root)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
