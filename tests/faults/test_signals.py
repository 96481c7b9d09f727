"""Ctrl-C and SIGTERM, as Slurm sends it before it kills: a checkpoint within seconds, and a run that resumes."""

import signal
import time

import pandas as pd
import pytest
from sweeps import results, start, sweep_of, trainers, wait

from sandbox.run_folder import METRICS, TRAINING, RunState, deaths_of, state_of

SECONDS = 15
"""Much more than the second of training between two looks at signals, since the machine may be busy."""


@pytest.mark.slow(seconds=40)
@pytest.mark.parametrize(
    ("number", "arguments"),
    [(signal.SIGTERM, sweep_of(1, 2)), (signal.SIGINT, ["mixer.d_state=2"]), (signal.SIGHUP, ["mixer.d_state=2"])],
    ids=["SIGTERM to a sweep", "SIGINT to a run", "SIGHUP to a run"],
)
def test_a_signal_leaves_a_checkpoint_and_the_same_command_goes_on(number, arguments, tmp_path):
    process = start(tmp_path, *arguments, "checkpoint_seconds=1000")
    (trained, *_) = wait_for(METRICS, tmp_path, process)
    stopped = time.monotonic()
    stop(process, number)
    assert time.monotonic() - stopped < SECONDS
    assert list((trained / "checkpoints").glob("[0-9]*"))
    assert not trainers(tmp_path)
    assert not deaths_of(trained)

    assert wait(start(tmp_path, *arguments))[0] == 0
    assert wait(start(tmp_path / "undisturbed", *arguments))[0] == 0
    (found, evaluations), (expected, expected_evaluations) = (
        results(tmp_path / name) for name in ("runs", "undisturbed")
    )
    pd.testing.assert_frame_equal(found, expected)
    assert evaluations == expected_evaluations


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize("arguments", [["mixer.d_state=2"], sweep_of(1, 2)], ids=["run", "sweep"])
def test_a_run_stops_that_has_not_taken_a_step(arguments, tmp_path):
    """While it is being compiled, which cannot be interrupted: an exception there would end in a crash."""
    process = start(tmp_path, *arguments)
    (run, *_) = wait_for(TRAINING, tmp_path, process)
    stop(process, signal.SIGINT)
    assert not trainers(tmp_path)
    assert not deaths_of(run)


@pytest.mark.slow(seconds=15)
def test_a_second_ctrl_c_ends_at_once_and_is_no_death(tmp_path):
    process = start(tmp_path, "mixer.d_state=2")
    (run, *_) = wait_for(TRAINING, tmp_path, process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert wait(process)[0] == 128 + signal.SIGINT
    assert not trainers(tmp_path)
    assert state_of(run) == (RunState.to_do, "")
    assert not (run / TRAINING).exists()


def wait_for(name, folder, process):
    """The run folders that have this file, once there is one."""
    while not (found := list(folder.glob(f"*/*/{name}"))):
        assert process.poll() is None
        time.sleep(0.05)
    return [path.parent for path in found]


def stop(process, number):
    process.send_signal(number)
    code, output, errors = wait(process)
    assert code == 128 + number
    assert "Traceback" not in output + errors
    told = "stopping; Ctrl-C again ends at once, without a checkpoint\n" if number == signal.SIGINT else ""
    assert errors == f"{told}stopped; the same command goes on from the newest checkpoints\n"
