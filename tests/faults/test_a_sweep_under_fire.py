"""Two commands train one sweep while processes are killed: healthy runs end with the bits they have in peace."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time

import pandas as pd
import pytest
from sweeps import TIMEOUT_SECONDS, results, start, sweep_of, trainers, wait

from sandbox.run_folder import SUMMARY, finished_runs, read_summary

HEALTHY = range(1, 6)
RAISES, IS_KILLED, DIVERGES = 6, 7, 8
"""Sizes of the other runs: one finds its folder taken, one is killed whenever it trains, the loss of one is not
finite."""
SWEEP = sweep_of(*HEALTHY, RAISES, IS_KILLED, diverges=DIVERGES)
KILLS = 10

pytestmark = pytest.mark.xdist_group("under_fire")  # its tests share a sweep, whatever runs between them


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def peace(tmp_path_factory):
    """The folder of the sweep where nothing disturbed it."""
    folder = tmp_path_factory.mktemp("peace")
    code, _, errors = wait(start(folder, *SWEEP))
    assert code == 0, errors
    return folder


def run_ids(folder: pathlib.Path) -> dict[int, str]:
    """Size -> run id."""
    return {read_summary(run)[0].config["mixer.d_state"]: run.name for run in finished_runs(folder)}


@pytest.mark.slow(seconds=150)
def test_healthy_runs_end_with_the_same_bits_and_the_others_are_named(peace, tmp_path):
    ids = run_ids(peace)
    runs = tmp_path / "runs"
    (runs / ids[RAISES]).mkdir(parents=True)
    (runs / ids[RAISES] / "checkpoints").write_text("not a folder")

    with always_killed(runs / ids[IS_KILLED]):
        for process in fire(tmp_path):
            wait(process)
        code, output, errors = wait(start(tmp_path, *SWEEP, "retry_failed=true"))
    assert code == 1
    assert "Traceback" not in output + errors
    failed = errors.splitlines()
    assert failed[0] == "2 of 8 runs failed:", errors
    reasons = dict(line.split(": ", 1) for line in failed[1:])
    assert "Error: " in reasons[f"mixer.d_state={RAISES}"]
    assert reasons[f"mixer.d_state={IS_KILLED}"].startswith("2 processes died of it (killed by SIGKILL")

    unhealthy = [ids[RAISES], ids[IS_KILLED]]
    expected, evaluations = results(peace)
    found, found_evaluations = results(tmp_path)
    found = found[~found["run_id"].isin(unhealthy)].reset_index(drop=True)
    expected = expected[~expected["run_id"].isin(unhealthy)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)
    assert set(found.loc[found["mixer.d_state"] == DIVERGES, "status"]) == {"diverged"}
    for run, text in found_evaluations.items():
        assert run in unhealthy or text == evaluations[run]


@contextlib.contextmanager
def always_killed(run: pathlib.Path):
    """Kills every process that trains this run."""
    over = threading.Event()

    def watch():
        while not over.wait(0.02):
            if (pid := trainers(run.parents[1]).get(run)) is not None:
                kill(pid)

    killer = threading.Thread(target=watch)
    killer.start()
    yield
    over.set()
    killer.join()


def fire(folder: pathlib.Path) -> list[subprocess.Popen]:
    """Starts the sweep twice and kills workers and commands at random; the commands that are left."""
    chance = random.Random(0)
    commands = [start(folder, *SWEEP, "retry_failed=true") for _ in range(2)]
    kills, deadline = 0, time.monotonic() + TIMEOUT_SECONDS
    while kills < KILLS:
        assert time.monotonic() < deadline
        time.sleep(chance.uniform(0.2, 2.0))
        training = sorted(trainers(folder).values())
        if not training:
            continue
        if chance.random() < 0.25:
            unlucky = chance.randrange(len(commands))
            commands[unlucky].kill()
            commands[unlucky].communicate()
            commands[unlucky] = start(folder, *SWEEP, "retry_failed=true")
        else:
            kill(chance.choice(training))
        kills += 1
    return commands


@pytest.mark.slow(seconds=40)
def test_what_is_damaged_is_done_again(peace, tmp_path):
    """A summary cut in half, one with a better score, and the newest checkpoint of a run without a summary."""
    shutil.copytree(peace / "runs", tmp_path / "runs")
    ids = run_ids(peace)
    cut, edited, resumed = (tmp_path / "runs" / ids[size] for size in (1, 2, 3))
    text = (cut / SUMMARY).read_text()
    (cut / SUMMARY).write_text(text[: len(text) // 2])
    text = (edited / SUMMARY).read_text()
    (edited / SUMMARY).write_text(text.replace('"accuracy": 0.', '"accuracy": 1.', 1))
    (resumed / SUMMARY).unlink()
    arrays = max(
        (path for path in (resumed / "checkpoints").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    arrays.write_bytes(arrays.read_bytes()[: arrays.stat().st_size // 2])

    code, output, errors = wait(start(tmp_path, *SWEEP))
    assert code == 0, errors
    assert "Traceback" not in output + errors
    assert output.splitlines()[0] == "8 runs: 5 done already, 3 to do"
    for path in (cut / SUMMARY, edited / SUMMARY, resumed / "checkpoints"):
        assert str(path) in output + errors
    expected, evaluations = results(peace)
    found, found_evaluations = results(tmp_path)
    pd.testing.assert_frame_equal(found, expected)
    assert found_evaluations == evaluations
