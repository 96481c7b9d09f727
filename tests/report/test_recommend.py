import math

import pandas as pd
import pytest
from invented_runs import write_run

from sandbox.cli.recommend import main, recommendation_in_words
from sandbox.errors import InputError
from sandbox.report.recommend import measured, recommend, recommendation_map
from sandbox.tables import collect


@pytest.fixture
def two_lengths(tmp_path):
    """Attention recalls everything and costs what the length does; linear is cheap, and forgets the longer one."""
    root = tmp_path / "runs"

    def write(name, label, state_bytes, short, long, **config):
        scores = {(0.1, seed): {"all": 0.5, "length=64": short, "length=256": long} for seed in (0, 1)}
        write_run(root, name, scores, selected=0.1, label=label, state_bytes=state_bytes, config=config)

    write("a", "attention", 65536, 1.0, 0.97)
    write("b", "linear", 1024, 0.8, 0.4, **{"mixer.d_state": 8})
    write("c", "linear", 4096, 0.95, 0.6, **{"mixer.d_state": 32})
    write("d", "delta", 8192, 0.97, 0.6)
    return root


def test_records_of_several_tasks_are_refused(tmp_path):
    for task in ("mqar", "copy"):
        scores = {(0.1, 0): {"all": 0.5, "length=64": 0.5}}
        write_run(tmp_path, task, scores, selected=0.1, config={"task.name": task})
    with pytest.raises(InputError, match=r"^task\.name: these records are of several tasks \(copy, mqar\)"):
        measured(collect(tmp_path))


def answers(root, recalls, **options):
    table = recommend(measured(collect(root), **options)[0], recalls)
    return {(row["at"], row["recall"]): row for row in table.to_dict("records")}


def test_the_cheapest_that_reached_it_then_the_cheapest_of_another_series(two_lengths):
    found = answers(two_lengths, [0.5, 0.9, 0.96])
    assert {key: row["model"] for key, row in found.items()} == {
        (64, 0.5): "linear, d_state=8",
        (64, 0.9): "linear, d_state=32",
        (64, 0.96): "delta",
        (256, 0.5): "linear, d_state=32",
        (256, 0.9): "attention",
        (256, 0.96): "attention",
    }
    assert (found[64, 0.5]["runner_up"], found[64, 0.5]["margin"]) == ("delta", 8)
    assert (found[64, 0.96]["runner_up"], found[64, 0.96]["margin"]) == ("attention", 8)
    assert found[64, 0.9]["accuracy"] == pytest.approx(0.95)
    assert isinstance(found[256, 0.9]["runner_up"], float), "none"


def test_where_nothing_answers_there_is_no_recommendation(two_lengths):
    row = answers(two_lengths, [0.98])[256, 0.98]
    assert math.isnan(row["cost"])
    assert recommendation_in_words(row, "state_bytes") == "nothing measured reaches it"


def test_it_may_save_on_something_else(two_lengths):
    found = answers(two_lengths, [0.9], cost="training_flops_per_token")
    assert found[64, 0.9]["cost"] == 300 * 4096


def test_a_key_of_the_config_may_be_what_makes_it_harder(tmp_path):
    for length, accuracy in ((32, 0.9), (128, 0.6)):
        config = {"task.length": length}
        write_run(tmp_path, f"r{length}", {(0.1, 0): accuracy}, selected=0.1, label="gla", config=config)
    points, along = measured(collect(tmp_path))
    assert along == "task.length"
    assert sorted(points[["model", "at", "accuracy"]].values.tolist()) == [["gla", 32, 0.9], ["gla", 128, 0.6]]


def test_what_the_records_lack_is_named(two_lengths, tmp_path):
    with pytest.raises(InputError, match=r"--along 'pairs': no numbers of this name; there are length"):
        measured(collect(two_lengths), along="pairs")
    with pytest.raises(InputError, match=r"--cost 'joules': no such column"):
        measured(collect(two_lengths), cost="joules")
    write_run(tmp_path / "one", "a", {(0.1, 0): 0.5}, selected=0.1)
    with pytest.raises(InputError, match="--along None: no numbers of this name; there are none in these records"):
        measured(collect(tmp_path / "one"))


def test_the_regions_of_the_map_are_the_recommendations(two_lengths):
    points, along = measured(collect(two_lengths))
    numbers = recommendation_map(points, along, "state_bytes").frame
    assert len(numbers) == len(points), "every measured point is drawn"
    regions = numbers.dropna(subset=["to"])
    for recall in (0.1, 0.5, 0.7, 0.9, 0.96, 0.99):
        for at in (64, 256):
            (expected,) = recommend(points[points["at"] == at], [recall])["model"]
            inside = regions[(regions["at"] == at) & (regions["from"] < recall) & (recall <= regions["to"])]
            assert inside["model"].tolist() == ([] if pd.isna(expected) else [expected])


def test_the_command(two_lengths, tmp_path, capsys):
    options = ["--recall", "0.9", "--at", "64", "--formats", "svg", "-o", str(tmp_path / "out")]
    assert main([str(two_lengths), *options]) == 0
    line, *_ = capsys.readouterr().out.splitlines()
    assert line == (
        "length 64, recall 0.9: linear, d_state=32 at 4 KiB, which recalled 95.0 % (95.0 to 95.0); "
        "then delta at 2 times the cost"
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "recommendation.svg",
        "recommendation.csv",
        "recommendations.csv",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--at", "100"], "--at 100: nothing was tested at this length; there are 64, 256"),
        (["--along", "pairs"], "--along 'pairs': no numbers of this name"),
        (["--formats", "gif"], "format 'gif': not one of"),
    ],
)
def test_wrong_input_is_one_line(two_lengths, options, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([str(two_lengths), *options])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"sandbox-recommend: {message}")


def test_long_names_leave_space_for_the_map(tmp_path):
    """Matplotlib warns where axes have no space, and warnings are errors."""
    for label, recall in (("W" * 300, 0.8), ("a $5 $6", 0.7)):
        scores = {(0.1, 0): {"pairs=4": recall, "pairs=8": recall - 0.2}}
        write_run(tmp_path, label[:1], scores, selected=0.1, label=label)
    assert main([str(tmp_path), "--formats", "svg"]) == 0
    assert "<!-- a $5 $6 -->" in (tmp_path / "report" / "recommendation.svg").read_text()
