"""Killed at any moment and started again, a run ends with the same bits."""

import pathlib
import signal
import subprocess
import sys
import time
from dataclasses import replace

import jax
import numpy as np
import pytest

from sandbox.run_folder import CONFIG, METRICS, read_summary
from sandbox.saved_config import read_config
from sandbox.train.checkpoint import Checkpoints
from sandbox.train.population import init_population
from sandbox.train.step import Problem

COMMAND = [
    sys.executable,
    "-c",
    "from sandbox.cli.main import main; main()",
    "mixer=outer",
    "mixer.d_state=4",
    "mixer.update=delta",
    "model.d_model=16",
    "task.length=16",
    "task.pairs=[2,4]",
    "task.weights=1",
    "task.vocab_size=32",
    "train.steps=800",
    "train.eval_every=40",
    "train.batch_size=16",
    "train.learning_rates=[3e-3,1e-2]",
    "train.num_seeds=2",
    "train.validation_examples=64",
    "train.test_examples=64",
    "checkpoint_seconds=0",
]
TIMEOUT_SECONDS = 240


def start(output_dir: pathlib.Path) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, f"output_dir={output_dir}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(output_dir: pathlib.Path) -> pathlib.Path:
    process = start(output_dir)
    _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, errors
    (config,) = (output_dir / "runs").glob(f"*/{CONFIG}")
    return config.parent


def kill_when(output_dir: pathlib.Path, moment) -> None:
    """Starts the run and kills it as soon as `moment(run directory)` holds."""
    process = start(output_dir)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    try:
        while True:
            configs = list((output_dir / "runs").glob(f"*/{CONFIG}"))
            if configs and moment(configs[0].parent):
                break
            assert process.poll() is None, "the run ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def steps_logged(run: pathlib.Path) -> int:
    metrics = run / METRICS
    return int(metrics.read_text().splitlines()[-1].split(",")[0]) if metrics.is_file() else 0


def saving(run: pathlib.Path) -> bool:
    """Whether a checkpoint is being written at this moment."""
    return any("tmp" in path.name for path in (run / "checkpoints").glob("*"))


MOMENTS = {
    "before the first step": lambda run: (run / CONFIG).is_file(),
    "before the first checkpoint is complete": lambda run: steps_logged(run) >= 40,
    "while a checkpoint is written": lambda run: steps_logged(run) >= 160 and saving(run),
    "between two checkpoints": lambda run: steps_logged(run) >= 360,
    "near the end": lambda run: steps_logged(run) >= 680,
}


def final_state(run: pathlib.Path):
    config = read_config(run)
    problem = Problem(config.model, config.mixer, config.task, config.train)
    with Checkpoints(run / "checkpoints") as checkpoints:
        return checkpoints.restore(init_population(problem, config.seed))


@pytest.mark.slow(seconds=120)
def test_killed_five_times_ends_with_the_same_bits(tmp_path):
    undisturbed = finish(tmp_path / "undisturbed")
    for moment in MOMENTS.values():
        kill_when(tmp_path / "killed", moment)
    killed = finish(tmp_path / "killed")

    expected, actual = final_state(undisturbed), final_state(killed)
    assert actual.step == expected.step == 800
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected.population):
        np.testing.assert_array_equal(
            leaf, dict(jax.tree_util.tree_leaves_with_path(actual.population))[path], err_msg=str(path)
        )
    assert (killed / METRICS).read_text() == (undisturbed / METRICS).read_text()
    for one, other in zip(read_summary(undisturbed), read_summary(killed), strict=True):
        assert replace(other, seconds=one.seconds, config=one.config) == one
