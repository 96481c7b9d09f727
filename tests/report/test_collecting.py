import pathlib
import re
import subprocess
import sys

import pandas as pd
import pytest
from invented_runs import write_run

from sandbox.cli.collect import main as collect_main
from sandbox.cli.report import main as report_main
from sandbox.errors import InputError
from sandbox.report import write_report
from sandbox.report.data import read_data
from sandbox.results import LATER_FIELDS
from sandbox.tables import collect, collect_curves, to_csv

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"
REMEDY = "this code reads 2: move it away, or choose another study="


def test_collecting_twice_gives_the_same_bytes(sweep, tmp_path):
    for name in ("first", "second"):
        assert collect_main([str(sweep), "-o", str(tmp_path / name)]) == 0
    for name in ("records.csv", "evaluations.csv"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_collected_table_holds_what_the_runs_hold(sweep, tmp_path):
    folder = tmp_path / "collected"
    collect_main([str(sweep), "-o", str(folder)])
    for source in (folder / "records.csv", folder):
        pd.testing.assert_frame_equal(collect(source), collect(sweep))
        pd.testing.assert_frame_equal(collect_curves(source), collect_curves(sweep))


def test_text_stays_text_and_none_stays_a_word(sweep):
    records = collect(sweep)
    assert set(records["run_id"]) == {"aa", "bb", "12e4"}
    assert set(records["versions.jax"]) == {"0.10"}
    assert set(records["mixer.decay"]) == {"none"}
    assert set(records["mixer.gate"].dropna()) == {"None"}


def test_one_run_with_an_id_of_digits_keeps_it(tmp_path):
    write_run(tmp_path, "0012", {(0.1, 0): 0.5}, selected=0.1)
    assert collect(tmp_path)["run_id"].unique().tolist() == ["0012"]


def test_series_of_one_label_come_by_their_values_and_not_by_run_ids(tmp_path):
    options = {"a": ("none", None), "b": ("fixed", 256.0), "c": ("fixed", 16.0), "d": ("channel", 4096.0)}
    for run_id, (decay, half_life) in options.items():
        config = {"mixer.decay": decay, "mixer.half_life": half_life}
        write_run(tmp_path, run_id, {(0.1, 0): 0.5, (0.2, 0): 0.4}, selected=0.1, config=config)
    records = read_data(tmp_path, "mixer.half_life", None, None, "slice").records
    assert list(dict.fromkeys(records["run_id"])) == ["d", "c", "b", "a"]


def test_options_that_came_after_a_run_do_not_set_it_apart(tmp_path):
    """Of the older run; of another mixer, which has no such option, nothing is said."""
    outer, hybrid = {"mixer.name": "outer"}, {"model.mixers.attention.name": "outer", "mixer.name": "gla"}
    later = {"train.pack": 1, "train.halving": "[]", "model.tied": True}
    configs = {
        "old": outer,
        "new": outer | later | {"mixer.erase": "same", "mixer.product_steps": 2},
        "null": outer | later | {"mixer.erase": None},
        "old hybrid": hybrid,
        "new hybrid": hybrid | {"model.mixers.attention.erase": "separate"},
    }
    for name, config in configs.items():
        write_run(tmp_path / "runs", name, {(0.1, 0): 0.5, (0.2, 0): 0.4}, selected=0.1, config=config)
    records = collect(tmp_path / "runs")
    kept = records.drop_duplicates("run_id").set_index("run_id")
    for option, value in later.items():
        assert {*kept[option]} == {value}, option
    assert kept.loc["old", ["mixer.erase", "mixer.product_steps"]].tolist() == ["same", 2]
    assert pd.isna(kept.loc["null", "mixer.erase"]), "a value of its own"
    assert kept.loc[["old hybrid", "new hybrid"], "mixer.erase"].isna().all()
    assert kept["model.mixers.attention.erase"].dropna().to_dict() == {
        "old hybrid": "same",
        "new hybrid": "separate",
    }


def test_a_report_of_very_many_options_gives_no_warning(tmp_path):
    options = {f"mixer.option_{i}": i for i in range(120)}
    for run_id, size in (("a", 4), ("b", 8)):
        write_run(tmp_path, run_id, {(0.1, 0): 0.5}, selected=0.1, config=options | {"mixer.d_state": size})
    write_report(tmp_path, tmp_path / "report", formats=["png"])


def test_rows_come_by_label_and_size_whatever_the_folders_are_called(sweep):
    order = collect(sweep)[["label", "state_bytes"]].drop_duplicates().values.tolist()
    assert order == [["delta rule", 4096], ["delta rule", 8192], ["linear_100%", 8192]]


def test_collect_says_what_it_found(sweep, tmp_path, capsys):
    write_run(sweep, "dead", {(0.1, 0): float("nan")}, selected=0.0, status="failed: why")
    for name in ("waiting", "waiting/.hydra"):
        (sweep / name).mkdir()
        (sweep / name / "config.yaml").write_text("seed: 0\n")
    assert collect_main([str(sweep)]) == 0
    said = capsys.readouterr().out
    assert "4 runs, 74 records, 1 members diverged, 1 runs failed, 1 runs unfinished" in said
    assert f"wrote {sweep / 'records.csv'} and {sweep / 'evaluations.csv'}" in said


@pytest.mark.slow(seconds=4)
def test_a_report_from_the_collected_table_equals_the_one_from_the_runs(sweep, tmp_path):
    collect_main([str(sweep), "-o", str(tmp_path / "collected")])
    write_report(sweep, tmp_path / "runs_report", formats=("svg",))
    assert report_main([str(tmp_path / "collected" / "records.csv"), "--formats", "svg"]) == 0
    for path in (tmp_path / "runs_report").iterdir():
        assert path.read_bytes() == (tmp_path / "collected" / "report" / path.name).read_bytes(), path.name


def test_the_default_output_is_in_the_folder(sweep, capsys):
    assert report_main([str(sweep), "--formats", "svg"]) == 0
    assert (sweep / "report" / "frontier.svg").is_file()
    assert str(sweep / "report" / "report.html") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], r"nowhere: no such file or folder"),
        (["{empty}"], r"empty: no finished run \(no summary.json\) at or below it"),
        (
            ["{sweep}", "--x", "stat_bytes"],
            r"--x 'stat_bytes': no such column; there are state_bytes, .*d_state",
        ),
        (["{sweep}", "--x", "label"], r"--x 'label': not a column of numbers per run; there are state_bytes"),
        (["{sweep}", "--x", "accuracy"], r"--x 'accuracy': not a column of numbers per run"),
        (["{sweep}", "--rows", "d_state"], r"--rows 'd_state': no such column; there are .*mixer.d_state"),
        (
            ["{sweep}", "--columns", "decay"],
            r"--columns 'decay': no such key; there are slice, mixer",
        ),
        (
            ["{sweep}", "--columns", "mixer.kind"],
            r"--columns 'mixer.kind': no such key \(now mixer.name in tables; .*; there are slice, mixer",
        ),
        (
            ["{sweep}", "--x", "experiment"],
            r"--x 'experiment': no such column \(the folder .* is now study=NAME\); there are state_bytes",
        ),
        (
            ["{sweep}", "--slice", "pairs=5"],
            r"--slice 'pairs=5': no such slice; there are pairs=4, pairs=",
        ),
        (["{sweep}", "--formats", "jpg"], r"format 'jpg': not one of pdf, png, svg"),
        (["{sweep}", "-o", "{file}"], r"File exists"),
        (["{file}"], r"file.csv: not a table of records \(no column study, run_id, "),
        (["{old}"], rf"summary.json: records of schema version 1, {REMEDY}\n"),
        (["{old_table}"], rf"old.csv: records of schema version 1, {REMEDY}\n"),
        (["{new_table}"], rf"new.csv: records of schema version 3, {REMEDY}\n"),
        (["{cut}"], r"cut.csv: cut off, its last row has 2 of 3 fields\n"),
    ],
)
def test_wrong_input_gives_one_line_and_exit_code_2(sweep, tmp_path, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.csv").write_text("step,loss\n1,2\n")
    (tmp_path / "cut.csv").write_text("study,run_id,schema_version\nx,a,2\nx,b")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "summary.json").write_text('{"records": [{"experiment": "x", "run_id": "a"}]}')
    (tmp_path / "old.csv").write_text("experiment,run_id,label\nx,a,b\n")
    (tmp_path / "new.csv").write_text("study,run_id,schema_version\nx,a,3\n")
    places = {"sweep": sweep, "file": tmp_path / "file.csv", "cut": tmp_path / "cut.csv"}
    places |= {f"{age}_table": tmp_path / f"{age}.csv" for age in ("old", "new")}
    places |= {name: tmp_path / name for name in ("empty", "old")}
    with pytest.raises(SystemExit) as stopped:
        report_main([argument.format(**places) for argument in arguments])
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert re.search(message, captured.err)
    assert captured.err.startswith("sandbox-report: ")
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such file or folder"),
        ("empty", r"no finished run \(no summary.json\) at or below it"),
        ("file.csv", "a file; sandbox-collect reads a folder of runs"),
    ],
)
def test_collect_refuses_what_is_no_folder_of_runs(tmp_path, capsys, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.csv").write_text("a\n")
    with pytest.raises(SystemExit) as stopped:
        collect_main([str(tmp_path / name)])
    assert stopped.value.code == 2
    assert re.fullmatch(rf"sandbox-collect: .*{name}: {message}\n", capsys.readouterr().err)


def test_reading_and_drawing_need_no_jax(sweep):
    code = f"""
import sys
from sandbox.report import write_report
from sandbox.results import LATER_FIELDS
write_report({str(sweep)!r}, {str(sweep / "out")!r}, formats=())
print(sorted({{"jax", "flax", "hydra", "omegaconf", "matplotlib.pyplot"}} & set(sys.modules)))
"""
    repository = pathlib.Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository
    )
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("table", sorted(EXPERIMENTS.glob("*/records.csv")), ids=lambda table: table.parent.name)
def test_the_tables_of_the_repository_have_the_columns_that_the_code_writes(table):
    def header(text):
        return text.partition("\n")[0]

    older = [name for name in LATER_FIELDS if name not in header(table.read_text()).split(",")]
    assert header(to_csv(collect(table).drop(columns=older))) == header(table.read_text())
    assert header(to_csv(collect_curves(table))) == header((table.parent / "evaluations.csv").read_text())


def test_a_run_of_another_schema_does_not_hide_those_that_are_asked_for(tmp_path):
    old = tmp_path / "old" / "summary.json"
    old.parent.mkdir()
    old.write_text('{"records": [{"experiment": "runs", "run_id": "old"}]}')
    write_run(tmp_path, "new", {(0.1, 0): 0.5}, selected=0.1)
    assert set(collect(tmp_path, {"new": ["a name"]})["run_id"]) == {"new"}
    with pytest.raises(InputError, match=r"old.summary\.json: "):
        collect(tmp_path)
