"""A sweep of small runs as a command, for tests that disturb it; and what its folder says afterwards."""

import os
import pathlib
import subprocess
import sys

import pandas as pd
import psutil
from command import COMMAND

from sandbox.run_folder import METRICS, TRAINING, finished_runs
from sandbox.tables import collect

STEPS = 8_000
RUN = [
    "mixer=outer",
    "model.layout=[mixer]",
    "model.d_model=8",
    "task.vocab_size=16",
    "task.length=8",
    "task.pairs=[1,2]",
    f"train.steps={STEPS}",
    "train.eval_every=400",
    "train.batch_size=4",
    "train.num_seeds=1",
    "train.validation_examples=16",
    "train.test_examples=16",
    "train.solved_at=2",
    "checkpoint_seconds=0",
    "jobs=2",
]
TIMEOUT_SECONDS = 600


def start(output_dir: pathlib.Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", COMMAND, *RUN, *arguments]
    return subprocess.Popen(
        [*command, f"output_dir={output_dir}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def sweep_of(*sizes: int, diverges: int | None = None) -> list[str]:
    grids = [f"{{mixer.d_state:[{','.join(map(str, sizes))}]}}"]
    if diverges is not None:
        grids.append(f"{{mixer.d_state:{diverges},train.learning_rates:[[1e30]]}}")
    return ["hydra.mode=MULTIRUN", f"hydra.sweeper.grids=[{','.join(grids)}]"]


def wait(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, output and errors, once the command has ended."""
    output, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    return process.returncode, output, errors


def results(output_dir: pathlib.Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """The records, without seconds and the checkout's commit, and the text of the evaluations of each run."""
    trained = [run / METRICS for run in finished_runs(output_dir) if (run / METRICS).is_file()]
    records = collect(output_dir).drop(columns=["seconds", "commit"])
    return records, {path.parent.name: path.read_text() for path in trained}


def trainers(output_dir: pathlib.Path) -> dict[pathlib.Path, int]:
    """The folder of each run that a process trains at this moment, and the process."""
    found = {}
    for note in output_dir.glob(f"*/*/{TRAINING}"):
        try:
            pid = int(note.read_text().split()[1])
        except (FileNotFoundError, IndexError):  # gone, or not yet written
            continue
        if psutil.pid_exists(pid) and pid != os.getpid():
            found[note.parent] = pid
    return found
