"""A disk that fills up under a sweep: one line says so, nothing is lost, the same command goes on afterwards."""

import os
import pathlib
import subprocess

import pandas as pd
import pytest
from sweeps import results, start, sweep_of, wait

SWEEP = [*sweep_of(1, 2), "train.steps=2000"]


def mount(*options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", *options], check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk that the second checkpoint fills."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("-o", "size=1100k", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow(seconds=60)
def test_a_full_disk_costs_a_line_and_no_result(small_disk, tmp_path):
    code, output, errors = wait(start(small_disk, *SWEEP))
    assert code == 1
    assert "Traceback" not in output + errors
    assert "the disk is full" in errors
    mount("-o", "remount,size=64m", "tmpfs", str(small_disk))
    code, _, errors = wait(start(small_disk, *SWEEP))
    assert code == 0, errors
    code, _, errors = wait(start(tmp_path / "ample", *SWEEP))
    assert code == 0, errors
    (found, evaluations), (expected, expected_evaluations) = results(small_disk), results(tmp_path / "ample")
    pd.testing.assert_frame_equal(found, expected)
    assert evaluations == expected_evaluations


@pytest.mark.slow(seconds=5)
def test_a_read_only_folder_is_refused_in_one_line(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    folder = pathlib.Path(tmp_path / "locked")
    folder.mkdir(mode=0o500)
    code, output, errors = wait(start(folder, *SWEEP))
    assert (code, output) == (2, "")
    assert errors.startswith("sandbox: output_dir: cannot write to ")
    assert len(errors.splitlines()) == 1
