"""Ctrl-C and SIGTERM, as Slurm sends it before it kills: a checkpoint within seconds, and a run that resumes."""

import signal
import time

import pandas as pd
import pytest
from sweeps import results, start, sweep_of, trainers, wait

from sandbox.run_folder import METRICS, deaths_of

SECONDS = 15
"""Much more than the second of training between two looks at signals, since the machine may be busy."""


@pytest.mark.slow(seconds=60)
@pytest.mark.parametrize("arguments", [["mixer.d_state=2"], sweep_of(1, 2)], ids=["run", "sweep"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_and_the_same_command_goes_on(arguments, number, tmp_path):
    process = start(tmp_path, *arguments, "checkpoint_seconds=1000")
    while not list(tmp_path.glob(f"*/*/{METRICS}")):
        assert process.poll() is None
        time.sleep(0.05)
    stopped = time.monotonic()
    process.send_signal(number)
    code, output, errors = wait(process)
    assert time.monotonic() - stopped < SECONDS
    assert code == 128 + number
    assert "Traceback" not in output + errors
    assert errors == "stopped; the same command goes on from the newest checkpoints\n"
    (trained, *_) = (path.parent for path in tmp_path.glob(f"*/*/{METRICS}"))
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
