"""Two series are called different only when a paired test over seeds says so."""

import numpy as np
import pytest
from invented_runs import write_run
from scipy import stats

from sandbox.cli.report import main
from sandbox.report.differences import differences, holm
from sandbox.report.points import varying_keys
from sandbox.tables import collect

SCORES = {"best": (0.90, 0.80, 0.70), "middle": (0.85, 0.76, 0.64), "noisy": (0.60, 0.90, 0.71)}


def write(root, label, scores, d_state=8, seed=0):
    members = {(0.1, seed + number): score for number, score in enumerate(scores)}
    size = {"state_bytes": 100 * d_state, "config": {"mixer.d_state": d_state}}
    write_run(root, f"{label}{d_state}", members, selected=0.1, label=label, **size)


def table_of(root, size="mixer.d_state"):
    records = collect(root)
    return differences(records, varying_keys(records), size, "all")


def test_pairs_are_tested_over_the_seeds_that_both_have(tmp_path):
    for label, scores in SCORES.items():
        write(tmp_path, label, scores)
    table = table_of(tmp_path, "state_bytes").set_index(["first", "second"])
    row = table.loc[("best", "middle")]
    expected = stats.ttest_rel(SCORES["best"], SCORES["middle"])
    interval = expected.confidence_interval(0.95)
    values = row[["difference", "low", "high", "p"]].tolist()
    assert values == pytest.approx([0.05, interval.low, interval.high, expected.pvalue])
    assert row["p_holm"] == pytest.approx(3 * expected.pvalue)
    assert table["verdict"].to_dict() == {
        ("best", "middle"): "different",
        ("best", "noisy"): "not shown to differ",
        ("middle", "noisy"): "not shown to differ",
    }


def test_holm():
    corrected = holm(np.array([0.01, 0.04, np.nan, 0.03]))
    assert corrected == pytest.approx([0.03, 0.06, np.nan, 0.06], nan_ok=True)


def test_seeds_that_agree_by_chance_are_not_infinitely_certain(tmp_path):
    write(tmp_path, "a", (0.9, 0.8))
    write(tmp_path, "b", (0.899, 0.799))
    (row,) = table_of(tmp_path, "state_bytes").to_dict("records")
    assert row["difference"] == pytest.approx(0.001)
    assert row["low"] < 0 < row["high"]
    assert (row["p"] > 0.05, row["verdict"]) == (True, "not shown to differ")


def test_one_common_seed_is_too_few(tmp_path):
    write(tmp_path, "a", (0.5, 0.6))
    write(tmp_path, "b", (0.8, 0.9), seed=1)
    (row,) = table_of(tmp_path, "state_bytes").to_dict("records")
    assert (row["first"], row["num_seeds"], row["verdict"]) == ("b", 1, "too few seeds")
    assert row["difference"] == pytest.approx(0.2)
    assert np.isnan([row["low"], row["p_holm"]]).all()


def test_series_meet_at_equal_sizes_and_a_single_size_meets_all(tmp_path):
    for label, sizes in (("gla", (8, 16)), ("mamba2", (8, 16)), ("softmax", (32,))):
        for d_state in sizes:
            write(tmp_path, label, (0.01 * d_state, 0.01 * d_state + len(label) / 100), d_state)
    table = table_of(tmp_path)
    pairs = {
        frozenset(((row.first, row[2]), (row.second, row[4])))
        for row in table[["slice", "first", "first mixer.d_state", "second", "second mixer.d_state"]].itertuples(
            index=False
        )
    }
    assert len(table) == 2 + 4 == len(pairs)


def test_a_lone_series_is_compared_with_itself_at_other_sizes(tmp_path):
    for d_state in (8, 16, 32):
        write(tmp_path, "gla", (0.01 * d_state, 0.012 * d_state), d_state)
    sizes = ["first mixer.d_state", "second mixer.d_state"]
    assert table_of(tmp_path)[sizes].values.tolist() == [[32, 8], [32, 16], [16, 8]]


def test_the_command_prints_the_largest_and_says_where_the_rest_is(tmp_path, capsys):
    for number in range(8):
        write(tmp_path / "runs", f"model {number}", (0.1 * number, 0.1 * number + 0.01))
    write(tmp_path / "runs", "lone", (0.5,))
    main([str(tmp_path / "runs"), "-o", str(tmp_path / "out"), "--formats", "svg"])
    lines = capsys.readouterr().out.splitlines()
    printed = [line for line in lines if "ahead of" in line]
    assert "  8 smaller differences in differences.csv" in lines
    assert "  too few seeds: 8 pairs with fewer than 2 seeds in common, in differences.csv" in lines
    assert len(printed) == 20
    assert printed[0].startswith("  model 7 at 800 B ahead of model 0 at 800 B by 70.0 (69.6 to 70.4)")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count(" ahead of model ") == 20
    assert "<li>8 smaller differences in differences.csv</li>" in page
    assert len((tmp_path / "out" / "differences.csv").read_text().splitlines()) == 1 + 28 + 8
