"""One sweep over several tasks, which are scored on different slices and many of them."""

import pandas as pd
import pytest
from invented_runs import write_run

from sandbox.report import write_report
from sandbox.report.slices import a_few_of


def lengths(count: int) -> list[str]:
    return [f"length={n}" for n in range(1, count + 1)]


@pytest.fixture
def two_tasks(tmp_path):
    """Attention and an LSTM, each on a task with 3 pairs and on one with 30 lengths; four state sizes."""
    runs = [("softmax", "mqar", 100), ("softmax", "copy", 300), ("lstm", "mqar", 50), ("lstm", "copy", 60)]
    for label, task, state_bytes in runs:
        slices = lengths(30) if task == "copy" else ["pairs=4", "pairs=8", "pairs=16"]
        write_run(
            tmp_path / "runs",
            f"{label}-{task}",
            {(0.1, 0): {"all": 0.75} | dict.fromkeys(slices, 0.5)},
            selected=0.1,
            label=label,
            state_bytes=state_bytes,
            config={"task.name": task, "task.length": 32 if task == "copy" else 64},
        )
    return tmp_path / "runs"


def test_tasks_are_not_joined_to_a_line_and_stand_on_a_slice_that_all_have(two_tasks, tmp_path):
    write_report(two_tasks, tmp_path / "out", formats=())
    drawn = pd.read_csv(tmp_path / "out" / "frontier.csv")
    assert sorted(drawn[["series", "task.name", "slice", "accuracy"]].values.tolist()) == [
        ["lstm", "copy", "all", 0.75],
        ["lstm", "mqar", "all", 0.75],
        ["softmax", "copy", "all", 0.75],
        ["softmax", "mqar", "all", 0.75],
    ]


def test_each_task_has_a_panel_and_every_row_of_the_table_its_task(two_tasks, tmp_path):
    """Though `gla` has one task only."""
    scores = {(0.1, 0): {"all": 0.75, "length=1": 0.5}}
    write_run(two_tasks, "gla", scores, selected=0.1, label="gla", config={"task.name": "copy"})
    report = write_report(two_tasks, tmp_path / "out", formats=("svg",))
    assert [texts[0] for texts, _ in report.table.rows] == [
        "gla, copy",
        *("lstm, mqar", "lstm, copy", "softmax, mqar", "softmax, copy"),
    ]
    figure = (tmp_path / "out" / "frontier.svg").read_text()
    assert [figure.count(f"<!-- {title} -->") for title in ("copy", "mqar", "Pareto frontier")] == [1, 1, 1]


def test_a_slice_that_is_asked_for_is_shown_though_one_task_lacks_it(two_tasks, tmp_path):
    write_report(two_tasks, tmp_path / "out", formats=(), slice="length=30")
    drawn = pd.read_csv(tmp_path / "out" / "frontier.csv")
    assert drawn[["series", "slice"]].values.tolist() == [["lstm", "length=30"], ["softmax", "length=30"]]


def test_the_table_has_a_few_slices_and_says_so(two_tasks, tmp_path):
    report = write_report(two_tasks, tmp_path / "out", formats=())
    shown = ["pairs=4", "pairs=8", "pairs=16", "length=1", "length=11", "length=20", "length=30", "all"]
    assert sorted(report.table.slices) == sorted(shown)
    assert "table: 8 of 34 slices are shown, table.csv has all" in report.notes
    assert set(lengths(30)) < set(pd.read_csv(tmp_path / "out" / "table.csv").columns)


def test_a_few_slices():
    few = [*lengths(8), "all"]
    assert a_few_of(few) == few
    assert a_few_of([*lengths(40), "all"])[::7] == ["length=1", "length=40"]
    assert len(a_few_of(lengths(40))) == 8
    assert a_few_of(["all", *(f"{key}={n}" for key in "abcdefg" for n in (1, 2))]) == ["all"]


def test_tasks_do_not_compete(tmp_path):
    """Each has a frontier and best means of its own."""
    scores = {("softmax", "mqar"): 0.9, ("lstm", "mqar"): 0.2, ("softmax", "copy"): 0.5, ("lstm", "copy"): 0.6}
    for (label, task), score in scores.items():
        write_run(
            tmp_path / "runs",
            f"{label}-{task}",
            {(0.1, 0): score},
            selected=0.1,
            label=label,
            state_bytes=200 if label == "softmax" else 100,
            config={"task.name": task},
        )
    report = write_report(tmp_path / "runs", tmp_path / "out", formats=())
    drawn = pd.read_csv(tmp_path / "out" / "frontier.csv").set_index(["series", "task.name"])
    assert drawn["on_frontier"].to_dict() == {
        ("softmax", "mqar"): True,
        ("lstm", "mqar"): True,
        ("softmax", "copy"): False,
        ("lstm", "copy"): True,
    }
    best = {texts[0] for texts, scores in report.table.rows if scores[-1].best}
    assert best == {"softmax, mqar", "lstm, copy"}
