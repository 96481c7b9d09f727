import math
import re

import pandas as pd
import pytest
from invented_runs import write_metrics, write_run
from matplotlib.axes import Axes

from sandbox.cli.summary import summarise_runs
from sandbox.config import ReportConfig
from sandbox.report import write_report
from sandbox.report.rates import EDGE_MARK, EDGE_NOTE
from sandbox.report.write import FIGURES
from sandbox.tables import collect


def figures_in(folder):
    return {name for name in FIGURES if (folder / f"{name}.svg").is_file()}


def test_one_run_with_one_seed_and_one_slice(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): 0.5}, selected=0.1)
    report = write_report(tmp_path, tmp_path / "out", formats=("svg",))
    assert figures_in(tmp_path / "out") == {"frontier"}
    assert sorted(report.notes) == [
        "curves: not drawn, no metrics.csv in the runs, and no evaluations.csv beside the records",
        "heatmap: not drawn, one value of state_bytes and one of slice make no map",
        "learning_rates: not drawn, fewer than two learning rates were tried",
    ]


def test_only_failed_runs(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): float("nan")}, selected=0.0, status="failed: <no> memory")
    report = write_report(tmp_path, tmp_path / "out", formats=("svg",))
    assert figures_in(tmp_path / "out") == set()
    assert report.notes[0] == "records: 1 of 1 runs failed: <no> memory (delta rule, a)"
    assert not [note for note in report.notes if "too many" in note]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "failed: &lt;no&gt; memory" in page
    assert "1 run failed" in page


def test_every_member_diverged_without_a_score(tmp_path):
    nothing = {(0.1, 0): float("nan"), (0.1, 1): float("nan")}
    write_run(tmp_path, "a", nothing, selected=0.1, diverged=list(nothing))
    report = write_report(tmp_path, tmp_path / "out", formats=("svg",))
    assert figures_in(tmp_path / "out") == set()
    assert "frontier: not drawn, no point with an accuracy and a value of state_bytes" in report.notes
    assert r"2 (2\textsuperscript{\textdagger}, 2 without a score)" in (tmp_path / "out" / "table.tex").read_text()


def test_a_series_without_the_key_of_the_axis_is_a_horizontal_line(sweep, tmp_path, monkeypatch):
    levels = []
    monkeypatch.setattr(Axes, "axhline", lambda ax, y, **style: levels.append((y, style.get("label"))))
    write_run(sweep, "soft", {(0.1, 0): {"pairs=16": 1.0}}, selected=0.1, label="softmax", state_bytes=1 << 18)
    report = write_report(sweep, tmp_path / "out", x="mixer.d_state", formats=("svg",))
    assert not [note for note in report.notes if note.startswith("frontier")]
    assert (1.0, "softmax") in levels
    drawn = pd.read_csv(tmp_path / "out" / "frontier.csv")
    assert drawn.loc[drawn["mixer.d_state"].isna(), "label"].tolist() == ["softmax"]
    assert not drawn["on_frontier"].any(), "a key of the config is no cost"
    assert figures_in(tmp_path / "out") == set(FIGURES)


@pytest.mark.parametrize("most_lines", [12, 1], ids=["named", "in the crowd"])
def test_a_horizontal_line_is_marked_and_is_not_lost_in_a_crowd(sweep, tmp_path, monkeypatch, most_lines):
    levels = []
    monkeypatch.setattr(Axes, "axhline", lambda ax, y, **style: levels.append(y))
    monkeypatch.setattr("sandbox.report.frontier.MOST_LINES", most_lines)
    run = {"label": "softmax", "state_bytes": 1 << 18, "edge": "highest"}
    write_run(sweep, "soft", {(0.1, 0): {"pairs=16": 0.01}}, selected=0.1, **run)
    write_report(sweep, tmp_path / "out", x="mixer.d_state", formats=("svg",))
    assert 0.01 in levels
    figure = (tmp_path / "out" / "frontier.svg").read_text()
    assert (figure.count(EDGE_MARK) > figure.count(EDGE_NOTE[:6])) == (most_lines > 1)


def test_a_series_without_the_cost_of_the_axis_is_named(sweep, tmp_path):
    write_run(sweep, "soft", {(0.1, 0): {"pairs=16": 1.0}}, selected=0.1, label="softmax")
    records = collect(sweep)
    records.loc[records["label"] == "softmax", "training_flops_per_token"] = math.nan
    records.to_csv(tmp_path / "records.csv", index=False)
    x = "training_flops_per_token"
    report = write_report(tmp_path / "records.csv", tmp_path / "out", x=x, formats=("svg",))
    assert f"frontier: softmax is left out, it has no {x} or no score" in report.notes


def test_a_run_without_evaluations_is_named(sweep, tmp_path):
    report = write_report(sweep, tmp_path / "out", formats=("svg",))
    assert "curves: 2 of 3 runs left no evaluations" in report.notes


def test_a_sweep_that_failed_before_its_first_evaluation_is_reported_on(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): float("nan")}, selected=0.0, status="failed: no memory")
    summarise_runs(tmp_path, {"a": ["delta rule"]}, ReportConfig())
    assert "no memory" in (tmp_path / "report" / "report.html").read_text()
    assert pd.read_csv(tmp_path / "report" / "evaluations.csv").empty


def test_a_report_without_the_run_that_has_the_axis_shows_the_default(tmp_path, capsys):
    write_run(tmp_path, "a", {(0.1, 0): 0.5}, selected=0.1)
    summarise_runs(tmp_path, {"a": ["softmax"]}, ReportConfig(x="mixer.half_life"))
    assert "leaves out its options: --x 'mixer.half_life': no such column" in capsys.readouterr().out
    assert "state_bytes" in pd.read_csv(tmp_path / "report" / "frontier.csv")


@pytest.mark.parametrize("text", ["", "step,learning_rate,seed\n", "step,loss\n1,2\n"])
def test_metrics_without_what_a_curve_needs(tmp_path, text):
    run = write_run(tmp_path, "a", {(0.1, 0): 0.5}, selected=0.1)
    (run / "metrics.csv").write_text(text)
    report = write_report(tmp_path, tmp_path / "out", formats=("svg",))
    assert any(note.startswith("curves: not drawn") for note in report.notes)


def test_mixers_with_different_options_share_a_report(tmp_path):
    """A yes or no that one mixer lacks is empty for it; the curves come out for both."""
    options = {
        "with": {"mixer.decay": "none", "mixer.d_state": 8, "mixer.normalize_qk": True},
        "without": {"mixer.positions": "none", "mixer.max_positions": 9},
    }
    for label, config in options.items():
        run = write_run(tmp_path, label, {(0.1, 0): 0.5}, selected=0.1, label=label, config=config)
        write_metrics(run, [(1, 0.1, 0, 0.2), (2, 0.1, 0, 0.4)])
    write_report(tmp_path, tmp_path / "out", formats=("svg",))
    numbers = pd.read_csv(tmp_path / "out" / "curves.csv")
    assert numbers[["label", "step", "accuracy"]].to_numpy().tolist() == [
        ["with", 1, 0.2],
        ["with", 2, 0.4],
        ["without", 1, 0.2],
        ["without", 2, 0.4],
    ]


def test_a_state_of_no_bytes_is_drawn(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): 0.5}, selected=0.1, state_bytes=0)
    write_run(tmp_path, "b", {(0.1, 0): 0.7}, selected=0.1, label="other")
    write_report(tmp_path, tmp_path / "out", formats=("svg",))
    assert "frontier" in figures_in(tmp_path / "out")


def test_twenty_sizes_are_told_by_a_colour_bar(tmp_path):
    for number in range(20):
        scores = {(rate, 0): 0.04 * number for rate in (0.1, 0.2)}
        size = number + 1
        config = {"mixer.d_state": size}
        run = write_run(tmp_path, f"r{number}", scores, selected=0.1, state_bytes=64 * size, config=config)
        write_metrics(run, [(10, 0.1, 0, 0.5)])
    report = write_report(tmp_path, tmp_path / "out", formats=("svg",))
    assert figures_in(tmp_path / "out") == set(FIGURES), report.notes


def test_a_figure_that_is_no_longer_drawn_does_not_stay(sweep, tmp_path):
    write_report(sweep, tmp_path / "out", formats=("svg",))
    assert figures_in(tmp_path / "out") == set(FIGURES)
    for metrics in sweep.rglob("metrics.csv"):
        metrics.unlink()
    write_report(sweep, tmp_path / "out", formats=("svg",))
    assert figures_in(tmp_path / "out") == set(FIGURES) - {"curves"}
    assert not (tmp_path / "out" / "curves.csv").exists()


def test_the_page_is_whole_by_itself(sweep, tmp_path):
    write_report(sweep, tmp_path / "out", formats=())
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.lstrip().startswith("<!DOCTYPE html>")
    by_hand = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:)', by_hand)
    assert "data:image/png;base64," not in page, "each figure has a chart in its place"
    for chart in ("explore", "heatmap_chart", "curves_chart", "learning_rates_chart"):
        assert f'<div class="chart" id="{chart}">' in page
    for text in (
        "3 runs with 12",
        "1 member diverged",
        "0 runs failed",
        "0.10",
        "linear_100%",
        "<b>95.0</b>",
    ):
        assert text in page
    assert "2 (1†)" in page
