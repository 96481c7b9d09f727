"""The folder of one run: its files, what has become of the run, and which process may write to it.

A run folder holds `config.yaml`, `metrics.csv` (a row per evaluation and member), `checkpoints/` and
`summary.json`. The summary is written last and atomically, with a hash of what is beside it: a run that has one is
finished.
"""

import contextlib
import csv
import dataclasses
import enum
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sandbox.errors import DamagedFile
from sandbox.files import write_atomically
from sandbox.results import EVALUATION_FIELDS, STATUS_FAILED, Record, check_version
from sandbox.stopping import before_a_sudden_end

SUMMARY = "summary.json"
METRICS = "metrics.csv"
CONFIG = "config.yaml"
FAILURE = "failure.txt"
"""The traceback of a run that failed."""
LABELS = "labels.json"
"""All names under which commands asked for the run, if these are more than the one in its records."""
LOCK = ".lock"
"""Held by the process that trains the run, through the operating system: a crash releases it."""
TRAINING = "training.txt"
"""There while a process trains the run; if it stays behind, the process died without a word."""
DEATHS = "deaths.txt"
"""A line for each process that died while it trained the run."""

MOST_DEATHS = 2
"""Processes that may die of a run before sweeps leave it alone."""

Path = str | os.PathLike[str]


class RunState(enum.Enum):
    """What has become of a run."""

    to_do = "to do"
    """Not started, or to be resumed from a checkpoint."""
    finished = "finished"
    failed = "failed"
    """An error stopped it; the same command tries again."""
    fatal = "fatal"
    """It killed the process that trained it, again and again; a sweep tries again if it is told to."""
    damaged = "damaged"
    """Finished, but a file is no longer what the run wrote; the same command does it again."""


class RunBusy(RuntimeError):
    """Another process trains this run."""


def state_of(run_dir: Path) -> tuple[RunState, str]:
    """What has become of the run in this folder, and why if it is neither finished nor just to do.

    Raises InputError if its records are of another schema.
    """
    if not is_finished(run_dir):
        deaths = deaths_of(run_dir)
        if has_note(run_dir) and not is_locked(run_dir):
            deaths.append(UNTOLD)
        if len(deaths) < MOST_DEATHS:
            return RunState.to_do, ""
        return RunState.fatal, f"{len(deaths)} processes died of it ({'; '.join(dict.fromkeys(deaths))})"
    try:
        records = read_summary(run_dir)
    except DamagedFile as error:
        return RunState.damaged, str(error)
    for record in records:
        if record.status.startswith(STATUS_FAILED):
            return RunState.failed, record.status
    return RunState.finished, ""


def is_finished(run_dir: Path) -> bool:
    """Whether the run in this folder has written its summary, be it that of a failure."""
    return (pathlib.Path(run_dir) / SUMMARY).is_file()


def finished_runs(root: Path, run_ids: Collection[str] | None = None) -> list[pathlib.Path]:
    """The folders of all finished runs at or below `root`, or of those with these ids; sorted."""
    root = pathlib.Path(root)
    linked = root.glob(f"*/{SUMMARY}")  # a run on another disk; a search at any depth follows no links
    runs = sorted({path.parent for path in (*root.rglob(SUMMARY), *linked) if path.is_file()})
    return [run for run in runs if run_ids is None or run.name in run_ids]


def unfinished_runs(root: Path) -> list[pathlib.Path]:
    """The folders at or below `root` with a config and no summary, sorted, without hidden ones."""
    root = pathlib.Path(root)
    return sorted(
        path.parent
        for path in root.rglob(CONFIG)
        if not is_finished(path.parent) and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def write_evaluations(run_dir: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes `metrics.csv`, a row per `Evaluation`; a loss that is not a number is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, EVALUATION_FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value != value else value for name, value in row.items()})
    write_atomically(pathlib.Path(run_dir) / METRICS, text.getvalue())


def write_summary(run_dir: Path, records: Sequence[Record]) -> None:
    """Writes the summary atomically, which marks the run as finished."""
    rows = [dataclasses.asdict(record) for record in records]
    files = [path for path in (pathlib.Path(run_dir) / name for name in (CONFIG, METRICS)) if path.is_file()]
    hashes = {"records": _hash_of(rows)} | {path.name: _hash(path.read_bytes()) for path in files}
    write_atomically(
        pathlib.Path(run_dir) / SUMMARY, json.dumps({"sha256": hashes, "records": rows}, indent=1) + "\n"
    )


def read_summary(run_dir: Path) -> list[Record]:
    """The records of one finished run.

    Raises DamagedFile if the summary cannot be read or is that of another run, or if it or a file beside it is not
    what the run wrote; and InputError if the records are of another schema.
    """
    run_dir = pathlib.Path(run_dir)
    path = run_dir / SUMMARY
    try:
        content = json.loads(path.read_text())
        rows, hashes = content["records"], {} | content.get("sha256", {})  # the first summaries had none
        for row in rows:
            check_version(path, row, row.get("schema_version"))
        records = [Record(**row) for row in rows]
        run_id = records[0].run_id
    except (
        AttributeError,
        IndexError,
        KeyError,
        RecursionError,
        TypeError,
        UnicodeDecodeError,
        json.JSONDecodeError,
    ) as error:
        raise DamagedFile(f"{path}: not a summary that this version can read ({error})") from error
    if run_id != pathlib.Path(os.path.abspath(run_dir)).name:
        raise DamagedFile(f"{path}: has the records of another run, {run_id}")
    for name, expected in hashes.items():
        found = _hash_of(rows) if name == "records" else _hash_of_file(run_dir / name)
        if found != expected:
            changed = path if name == "records" else run_dir / name
            raise DamagedFile(f"{changed}: {'changed' if found else 'missing'} since the run wrote it")
    return records


def labels_of(run_dir: Path) -> list[str]:
    """The names under which commands asked for this run, that in its records first; none if there is only that."""
    path = pathlib.Path(run_dir) / LABELS
    try:
        labels = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return []
    texts = [label for label in labels if isinstance(label, str)] if isinstance(labels, list) else []
    return list(dict.fromkeys(texts))


def keep_label(run_dir: Path, label: str) -> None:
    """Notes that a finished run was asked for under this name too."""
    import filelock

    def known() -> list[str]:
        return labels_of(run_dir) or [read_summary(run_dir)[0].label]

    if label not in known():
        with filelock.FileLock(pathlib.Path(run_dir) / LOCK):  # two commands may add to it
            text = json.dumps(list(dict.fromkeys([*known(), label])), ensure_ascii=False)
            write_atomically(pathlib.Path(run_dir) / LABELS, text + "\n")


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Keeps other processes off the run, or off the search in this folder; raises RunBusy if one is at it."""
    import filelock

    lock = filelock.FileLock(pathlib.Path(run_dir) / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunBusy(f"{run_dir}: another process is at work there") from None
    try:
        yield
    finally:
        lock.release()


def is_locked(run_dir: Path) -> bool:
    """Whether a process trains the run at this moment."""
    if not (pathlib.Path(run_dir) / LOCK).is_file():
        return False
    try:
        with locked(run_dir):
            return False
    except RunBusy:
        return True


@contextlib.contextmanager
def training_noted(run_dir: Path) -> Iterator[None]:
    """Leaves a file behind if the process dies within the context; one that is there already counts as a death."""
    note = pathlib.Path(run_dir) / TRAINING
    if note.is_file():
        count_death(run_dir, UNTOLD)
    _being_trained.add(note.parent)
    try:
        note.write_text(f"process {os.getpid()} trains this run\n")
        yield
    finally:
        forget_training()


UNTOLD = "without a word"
"""How a process died that left nothing but its note."""

_being_trained: set[pathlib.Path] = set()


def forget_training() -> None:
    """Removes the note of the run that this process trains: it does not end because of the run."""
    while _being_trained:
        forget_training_of(_being_trained.pop())


before_a_sudden_end(forget_training)


def has_note(run_dir: Path) -> bool:
    """Whether a process notes that it trains this run; or did, and has died."""
    return (pathlib.Path(run_dir) / TRAINING).is_file()


def forget_training_of(run_dir: Path) -> None:
    """Removes the note that a process trains this run, for one that has ended."""
    (pathlib.Path(run_dir) / TRAINING).unlink(missing_ok=True)


def count_death(run_dir: Path, reason: str) -> None:
    """Notes that a process died while it trained this run."""
    run_dir = pathlib.Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)  # a process may die before it has made the folder
    with (run_dir / DEATHS).open("a") as file:
        file.write(reason + "\n")
    forget_training_of(run_dir)


def deaths_of(run_dir: Path) -> list[str]:
    """How the processes died that trained this run."""
    path = pathlib.Path(run_dir) / DEATHS
    return path.read_text(errors="replace").splitlines() if path.is_file() else []


def forget_deaths(run_dir: Path) -> None:
    """Lets sweeps start the run again."""
    (pathlib.Path(run_dir) / DEATHS).unlink(missing_ok=True)


def _hash_of(rows: object) -> str:
    return _hash(json.dumps(rows, sort_keys=True).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_of_file(path: pathlib.Path) -> str | None:
    return _hash(path.read_bytes()) if path.is_file() else None
