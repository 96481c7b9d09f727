"""The figure against the difficulty, and with other scores than accuracy."""

import pandas as pd
import pytest
from invented_runs import write_run

from sandbox.errors import InputError
from sandbox.report import write_report

SLICES = {"all": 0.5, "length=20": 1.0, "length=80": 0.64}
GAPS = {"all": 0.25, "gap=4": 0.49, "gap=8": 0.36}


@pytest.fixture
def runs(tmp_path):
    """Two models on two tasks, whose difficulties have different names."""
    for number, (task, scores) in enumerate({"copy": SLICES, "needle": GAPS}.items()):
        for d_state in (8, 16):
            members = {(0.01, seed): scores for seed in range(3)}
            config = {"task.name": task, "mixer.d_state": d_state}
            write_run(tmp_path, f"{number}{d_state}", members, selected=0.01, config=config, state_bytes=d_state)
    return tmp_path


def test_each_task_has_its_own_difficulty_and_each_size_its_own_line(runs, tmp_path):
    write_report(runs, tmp_path / "report", x="slice", formats=["png"])
    frame = pd.read_csv(tmp_path / "report" / "frontier.csv")
    copied = frame[frame["task.name"] == "copy"]
    assert set(copied["difficulty"]) == {20, 80}
    assert set(frame[frame["task.name"] == "needle"]["difficulty"]) == {4, 8}
    assert copied["series"].nunique() == 2, "a line joins two sizes"
    assert not frame["on_frontier"].any()
    assert dict(zip(copied["difficulty"], copied["accuracy"], strict=True)) == {20: 1.0, 80: 0.64}


def test_whole_sequences_in_place_of_accuracy(runs, tmp_path):
    write_report(runs, tmp_path / "report", x="slice", y="exact", formats=["png"])
    frame = pd.read_csv(tmp_path / "report" / "frontier.csv")
    assert "accuracy" not in frame
    assert set(frame["exact"].round(4)) == {1.0, 0.4096, 0.2401, 0.1296}
    assert frame["chance"].isna().all(), "chance is that of an accuracy"


def test_what_nothing_has_is_named(runs, tmp_path):
    with pytest.raises(
        InputError, match="--y 'loss': must be one of accuracy, exact, free_running, macro_accuracy"
    ):
        write_report(runs, tmp_path / "report", y="loss")
    report = write_report(runs, tmp_path / "report", y="free_running", formats=["png"])
    assert any("frontier: not drawn" in note for note in report.notes), report.notes
