"""The commands as a person runs them, in a process of their own."""

import os
import pathlib
import subprocess
import sys

import pytest

from sandbox.cli import summary
from sandbox.report import write_report
from sandbox.results import RECORDS
from sandbox.run_folder import FAILURE, finished_runs
from sandbox.tables import collect

TINY = [
    "model.d_model=8",
    "task.length=16",
    "task.pairs=[2,4]",
    "task.vocab_size=16",
    "train.steps=4",
    "train.eval_every=2",
    "train.batch_size=4",
    "train.learning_rates=[1e-3,1e-2]",
    "train.num_seeds=2",
    "train.validation_examples=8",
    "train.test_examples=8",
]


def call(command, *arguments, environment=None):
    module, function = {
        "sandbox": ("main", "main"),
        "sandbox-collect": ("collect", "main"),
        "sandbox-report": ("report", "main"),
    }[command]
    program = f"import sys; from sandbox.cli.{module} import {function} as f; sys.exit(f())"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | (environment or {}),
    )


def sweep(output_dir: pathlib.Path, *arguments, **options):
    sizes = "mixer.d_state=2,4"
    return call("sandbox", "-m", "mixer=outer", sizes, *TINY, f"output_dir={output_dir}", *arguments, **options)


@pytest.mark.slow(seconds=50)
def test_a_sweep_its_second_run_and_its_report(tmp_path):
    first = sweep(tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stderr == "", "third parties must be silent"
    assert first.stdout.splitlines()[0] == "2 runs: 0 done already, 2 to do"
    assert "run 2/2 · outer mixer.d_state=4" in first.stdout
    assert "test accuracy, per cent" in first.stdout
    folder = tmp_path / "runs"
    for name in ("frontier.png", "frontier.pdf", "frontier.csv", "report.html", "table.tex", RECORDS):
        assert (folder / "report" / name).stat().st_size > 0

    before = {run: (run / "summary.json").stat().st_mtime_ns for run in finished_runs(folder)}
    page = (folder / "report" / "report.html").stat().st_mtime_ns
    second = sweep(tmp_path)
    assert second.returncode == 0, second.stderr
    assert second.stdout.splitlines()[0] == "2 runs: 2 done already, 0 to do"
    assert {run: (run / "summary.json").stat().st_mtime_ns for run in finished_runs(folder)} == before
    assert (folder / "report" / "report.html").stat().st_mtime_ns == page, "nothing new to draw"
    assert second.stdout.partition("test accuracy")[2] == first.stdout.partition("test accuracy")[2]

    grown = sweep(tmp_path, "mixer.d_state=2,4,8")
    assert grown.stdout.splitlines()[0] == "3 runs: 2 done already, 1 to do"
    assert (folder / "report" / "report.html").stat().st_mtime_ns > page

    collected = call("sandbox-collect", folder, "-o", tmp_path / "collected")
    assert collected.stdout.startswith("3 runs, "), collected.stderr
    report = call("sandbox-report", tmp_path / "collected" / RECORDS, "-o", tmp_path / "report")
    assert report.returncode == 0, report.stderr
    assert (tmp_path / "report" / "frontier.png").is_file()


@pytest.mark.slow(seconds=50)
def test_a_failing_run_does_not_stop_the_others(tmp_path):
    """The first run finds its folder taken by a file."""
    assert sweep(tmp_path / "probe").returncode == 0
    first, second = (run.name for run in finished_runs(tmp_path / "probe" / "runs"))
    blocked = tmp_path / "blocked" / "runs"
    (blocked / first).mkdir(parents=True)
    (blocked / first / "checkpoints").write_text("not a folder")
    result = sweep(tmp_path / "blocked")
    assert result.returncode == 1
    assert "1 of 2 runs failed:" in result.stderr
    assert (blocked / first / FAILURE).is_file()
    assert (blocked / second / "summary.json").is_file()

    (blocked / first / "checkpoints").unlink()
    again = sweep(tmp_path / "blocked")
    assert again.stdout.splitlines()[0] == "2 runs: 1 done already, 1 to do"
    assert again.returncode == 0, again.stderr


@pytest.mark.slow(seconds=50)
def test_several_devices_share_the_members(tmp_path):
    """Three members on two devices, one of which has a single member; and on four, one of which has none."""
    names = {"one": 1, "two": 2, "four": 4}
    for name, devices in names.items():
        flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
        members = ["train.num_seeds=3", "train.learning_rates=[1e-2]"]
        one_run = ["mixer=outer", *TINY, *members, f"output_dir={tmp_path / name}"]
        assert call("sandbox", *one_run, environment={"XLA_FLAGS": flags}).returncode == 0
    one, *others = (collect(tmp_path / name / "runs") for name in names)
    for other in others:
        assert (one["loss"] - other["loss"]).abs().max() < 1e-4


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize("width", [120, 80, 40])
def test_no_score_is_cut_however_narrow_the_terminal(width, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(summary.console, "_width", width)
    report = write_report(pathlib.Path("experiments/quickstart"), tmp_path)
    summary.print_scores(report.table)
    printed = capsys.readouterr().out
    assert "…" not in printed
    for words, scores in report.table.rows:
        assert all(word in printed for text in words for word in text.split())
        assert all(score.mean in printed for score in scores)
    assert (" ± " in printed.split("over seeds")[1]) == (width == 120)
