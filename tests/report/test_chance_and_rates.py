"""Chance, learning rates at the end of their grid, and the window of good ones, on figures and in tables."""

import pandas as pd
import pytest
from invented_runs import write_metrics, write_run

from sandbox.cli.summary import print_scores
from sandbox.report import write_report
from sandbox.report.points import varying_keys
from sandbox.report.rates import EDGE_MARK, EDGE_NOTE, rate_windows
from sandbox.tables import collect


@pytest.fixture
def report(tmp_path):
    """Two series of one seed and two rates; the best rate of one lies at an end of its grid."""
    for label, edge, accuracy in (("gla", "", 0.8), ("chance", "highest", 0.6)):
        scores = {(rate, 0): {"all": accuracy, "pairs=4": accuracy} for rate in (0.1, 0.2)}
        run = write_run(tmp_path / "runs", label, scores, selected=0.2, label=label, edge=edge, chance=0.125)
        write_metrics(run, [(step, 0.2, 0, accuracy) for step in (10, 20)])
    write_run(tmp_path / "runs", "b", {(0.1, 0): {"all": 0.7, "pairs=4": 0.7}}, selected=0.1, state_bytes=64)
    return tmp_path / "out", write_report(tmp_path / "runs", tmp_path / "out", formats=("svg",))


def test_figures_and_tables_show_chance(report):
    out, written = report
    assert set(pd.read_csv(out / "frontier.csv")["chance"].dropna()) == {0.125}
    for name in ("frontier", "curves", "learning_rates"):
        assert "<!-- chance -->" in (out / f"{name}.svg").read_text(), name
    assert "<!-- chance (2) -->" in (out / "frontier.svg").read_text(), "the series of that name"
    texts, scores = written.table.rows[-1]
    assert (texts[0], [score.mean for score in scores]) == ("chance", ["12.5", "12.5"])
    assert not any(score.best for score in scores)
    assert "chance &  &  &  & 12.5 & 12.5" in (out / "table.tex").read_text()
    assert (out / "table.csv").read_text().splitlines()[1].startswith("chance,chance,4096,5096,")
    last = pd.read_csv(out / "table.csv").iloc[-1]
    assert (last["series"], last["pairs=4"], pd.isna(last["num_seeds"])) == ("chance", 0.125, True)


def test_a_best_rate_at_the_end_of_its_grid_is_marked_and_explained(report, capsys):
    out, written = report
    for name in ("frontier", "heatmap", "learning_rates"):
        figure = (out / f"{name}.svg").read_text()
        assert figure.count(EDGE_MARK) > figure.count(EDGE_NOTE[:6]) > 0, name
    assert [texts[-1] for texts, _ in written.table.rows[:-1]] == ["≥ 2‡", "≥ 1", "≥ 2"]
    assert EDGE_NOTE in (out / "report.html").read_text()
    print_scores(written.table)
    assert EDGE_NOTE in capsys.readouterr().out


@pytest.mark.parametrize(
    ("accuracies", "window"),
    [
        ((0.1, 0.86, 0.9, 0.88, 0.2), "100"),
        ((0.1, 0.84, 0.9, 0.88, 0.2), "10"),
        ((0.88, 0.1, 0.9, 0.88, 0.2), "10"),
        ((0.1, 0.2, 0.88, 0.9, 0.9), "≥ 100"),
        ((0.1, 0.2, 0.3, 0.4, float("nan")), "1"),
    ],
)
def test_the_window_is_contiguous_and_a_bound_where_the_grid_ends(tmp_path, accuracies, window):
    rates = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    # Of the invented runs, validation accuracy is a tenth of that of the test.
    members = {(rate, 0): 10 * accuracy for rate, accuracy in zip(rates, accuracies, strict=True)}
    write_run(tmp_path, "a", members, selected=1e-2)
    records = collect(tmp_path)
    assert rate_windows(records, varying_keys(records), "all")["rate_window"].tolist() == [window]
