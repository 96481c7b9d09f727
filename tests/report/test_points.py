import pathlib

import pandas as pd
import pytest
from invented_runs import write_run

from sandbox.errors import InputError
from sandbox.report.points import failures, make_points, runs_not_shown, varying_keys
from sandbox.report.series import name_series
from sandbox.report.slices import choose_slice, order_slices
from sandbox.tables import collect, outcomes


def points_of(root: pathlib.Path) -> pd.DataFrame:
    return make_points(collect(root))


def test_a_point_is_the_test_accuracy_at_the_selected_learning_rate(sweep):
    points = points_of(sweep)
    hard = points[points["slice"] == "pairs=16"].set_index(["label", "state_bytes"])
    assert hard.loc[("delta rule", 4096), ["accuracy", "low", "high"]].tolist() == pytest.approx([0.4, 0, 1])
    assert hard.loc[("linear_100%", 8192), "accuracy"] == pytest.approx(0.15)


def test_diverged_members_are_counted_and_their_score_is_kept(sweep):
    points = points_of(sweep).set_index(["label", "state_bytes", "slice"])
    point = points.loc[("delta rule", 8192, "pairs=16")]
    assert (point["num_seeds"], point["num_diverged"], point["accuracy"]) == (2, 1, pytest.approx(0.85))
    assert points.loc[("delta rule", 4096, "pairs=16"), "num_diverged"] == 0


def test_a_member_without_a_score_is_counted(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): 0.5, (0.1, 1): float("nan")}, selected=0.1)
    point = points_of(tmp_path).iloc[0]
    assert (point["num_seeds"], point["num_unscored"], point["accuracy"]) == (2, 1, 0.5)


def test_runs_that_differ_in_their_seed_alone_are_one_point(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): 0.2}, selected=0.1)
    write_run(tmp_path, "b", {(0.3, 1): 0.6}, selected=0.3, config={"seed": 1, "task.seed": 1})
    write_run(tmp_path, "c", {(0.3, 1): 0.9}, selected=0.3, config={"mixer.decay": "fixed"})
    points = points_of(tmp_path).set_index("mixer.decay")
    assert points["num_seeds"].to_dict() == {"none": 2, "fixed": 1}
    assert points.loc["none", "accuracy"] == pytest.approx(0.4)


def test_a_seed_that_two_runs_share_counts_once(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): 0.2, (0.1, 1): 0.6}, selected=0.1)
    write_run(tmp_path, "b", {(0.1, 1): 0.6, (0.1, 2): 1.0}, selected=0.1, config={"seed": 1})
    write_run(tmp_path, "c", {(0.1, 1): 0.2}, selected=0.1, config={"seed": 1, "task.seed": 1})
    point = points_of(tmp_path).iloc[0]
    assert (point["num_seeds"], point["accuracy"]) == (4, pytest.approx(0.5))


def test_equal_runs_of_two_studies_are_two_points(tmp_path):
    for name in ("first", "second"):
        write_run(tmp_path / name, "a", {(0.1, 0): 0.2}, selected=0.1, study=name)
    assert points_of(tmp_path)["study"].tolist() == ["first", "second"]


def test_where_and_how_a_run_was_started_tells_no_configurations_apart(sweep):
    records = collect(sweep)
    halves = records.assign(jobs=["auto", 1] * (len(records) // 2), output_dir=["a", "b"] * (len(records) // 2))
    assert varying_keys(halves) == varying_keys(records)


def test_the_members_own_seed_is_not_hidden_by_the_seed_of_the_config(tmp_path):
    write_run(tmp_path, "a", {(0.1, 7): 0.2}, selected=0.1, config={"seed": 3})
    assert collect(tmp_path)[["seed", "config.seed"]].drop_duplicates().values.tolist() == [[7, 3]]


def series_of(root: pathlib.Path, along: list[str]) -> list[str]:
    points = points_of(root)
    return list(dict.fromkeys(name_series(points, varying_keys(collect(root)), along)))


def test_a_second_key_splits_a_series_and_the_swept_one_does_not(tmp_path):
    for width in (64, 128):
        for d_state in (8, 16):
            write_run(
                tmp_path,
                f"{width}-{d_state}",
                {(0.1, 0): 0.5},
                selected=0.1,
                state_bytes=width * d_state * 4,
                config={"model.d_model": width, "mixer.d_state": d_state},
            )
    assert sorted(series_of(tmp_path, ["state_bytes"])) == [
        "delta rule, d_model=128",
        "delta rule, d_model=64",
    ]
    assert sorted(series_of(tmp_path, ["model.d_model"])) == [
        "delta rule, d_state=16",
        "delta rule, d_state=8",
    ]


def test_a_key_that_follows_the_swept_one_is_named_and_does_not_split_a_series(tmp_path):
    for heads, d_state in ((1, 8), (2, 16)):
        config = {"mixer.d_state": d_state, "mixer.num_heads": heads}
        write_run(tmp_path, str(d_state), {(0.1, 0): 0.5}, selected=0.1, state_bytes=d_state, config=config)
    assert series_of(tmp_path, ["state_bytes"]) == ["delta rule, num_heads=1…2"]


def test_sizes_that_do_not_change_the_bytes_are_told_apart(tmp_path):
    for d_state in (8, 16):
        write_run(tmp_path, str(d_state), {(0.1, 0): 0.5}, selected=0.1, config={"mixer.d_state": d_state})
    assert sorted(series_of(tmp_path, ["state_bytes"])) == ["delta rule, d_state=16", "delta rule, d_state=8"]


def test_failed_and_unselected_runs_are_counted(tmp_path):
    write_run(tmp_path, "a", {(0.1, 0): 0.2}, selected=0.1)
    write_run(tmp_path, "b", {(0.1, 0): float("nan")}, selected=0.0, status="failed: out of memory\nline 2")
    records = collect(tmp_path)
    assert failures(records)[["run_id", "status"]].values.tolist() == [["b", "failed: out of memory"]]
    assert runs_not_shown(records) == 1
    assert outcomes(records) == {"runs": 2, "records": 4, "members": 2, "diverged": 0, "failed": 1}


def test_slices_run_from_easy_to_hard_with_all_last():
    names = ["all", "pairs=16", "pairs=4", "noun", "gap=0.5"]
    assert order_slices(names) == ["pairs=4", "pairs=16", "noun", "gap=0.5", "all"]
    assert choose_slice(names) == "pairs=16"
    assert choose_slice(["all"]) == choose_slice(["all", "noun"]) == "all"
    with pytest.raises(InputError, match=r"pairs=5.*pairs=4, pairs=16"):
        choose_slice(names, "pairs=5")


def test_the_rates_that_were_tried_name_a_series_only_if_nothing_else_does(tmp_path):
    def series(*runs):
        folder = tmp_path / str(len(runs))
        for number, (size, rates) in enumerate(runs):
            config = {"mixer.d_state": size, "train.learning_rates": rates}
            write_run(folder, f"{number}", {(0.1, 0): 0.5, (0.2, 0): 0.4}, selected=0.1, config=config)
        return varying_keys(collect(folder))

    assert series((4, "auto"), (8, "[0.1, 0.2]")) == ["mixer.d_state"]
    assert series((4, "auto"), (8, "auto"), (8, "[0.1, 0.2]")) == ["mixer.d_state", "train.learning_rates"]
