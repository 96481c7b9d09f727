"""What a sweep varies names its series or is the axis; nothing else joins points."""

import itertools

import matplotlib as mpl
import pandas as pd
import pytest
from invented_runs import write_metrics, write_run

from sandbox.report import write_report
from sandbox.report.crowd import MOST_LINES
from sandbox.report.fonts import drawable, families, without_glyph
from sandbox.report.points import make_points, varying_keys
from sandbox.report.series import name_series
from sandbox.short_names import short_names
from sandbox.tables import collect


@pytest.fixture
def series_of(tmp_path):
    """Writes a run for each (label, bytes, config) and returns the names of their series against the bytes."""

    def names(runs):
        for number, (label, size, config) in enumerate(runs):
            scores = {(0.1, 0): 0.5}
            write_run(tmp_path, str(number), scores, selected=0.1, label=label, state_bytes=size, config=config)
        records = collect(tmp_path)
        points = make_points(records).sort_values(["label", "state_bytes"])
        return name_series(points, varying_keys(records), ["state_bytes"]).tolist()

    return names


def test_precision_names_two_lines_though_it_moves_the_bytes(series_of):
    runs = [
        (label, size * scale, {"model.precision": precision, "mixer.name": label})
        for label, size in (("gla", 100), ("mamba2", 300))
        for precision, scale in (("bfloat16", 1), ("float32", 2))
    ]
    assert series_of(runs) == [
        f"{label}, precision={precision}" for label in ("gla", "mamba2") for precision in ("bfloat16", "float32")
    ]


def test_a_word_that_follows_the_size_is_no_size(series_of):
    runs = [
        ("outer", 100 * size, {"mixer.feature_map": name, "mixer.d_state": size})
        for size, name in ((1, "elu1"), (2, "dpfp"), (3, "taylor"))
    ]
    assert series_of(runs) == [f"outer, feature_map={name}" for name in ("elu1", "dpfp", "taylor")]


def test_a_line_along_another_size_than_d_state_says_so(series_of):
    runs = [("gla", width, {"model.d_model": width, "model.tied": True}) for width in (32, 64)]
    assert series_of([*runs, ("gla", 40, {"model.d_model": 32, "model.tied": False})]) == [
        "gla, tied, d_model=32…64",
        "gla",
        "gla, tied, d_model=32…64",
    ]


def test_the_length_of_the_sequences_is_no_size_of_the_model(series_of):
    runs = [("softmax", length, {"task.length": length}) for length in (64, 128)]
    assert series_of(runs) == ["softmax, length=64", "softmax, length=128"]


def test_a_preset_of_several_keys_is_named_by_the_fewest_and_without_gaps(series_of):
    starts = {
        "default": {"model.branches_per_layer": None, "model.dense": "own", "model.scale_readout": False},
        "zoology": {"model.branches_per_layer": 2, "model.dense": "normal", "model.scale_readout": False},
    }
    assert series_of([("gla", 64, config) for config in starts.values()]) == [
        "gla, dense=own",
        "gla, dense=normal",
    ]


def test_the_loss_is_named_though_each_label_has_one(series_of):
    runs = [(label, 64, {"train.loss": loss}) for label, loss in (("gla", "all"), ("mamba2", "answers"))]
    assert series_of(runs) == ["gla, loss=all", "mamba2, loss=answers"]


def test_a_label_that_reads_like_a_name_stays_apart(series_of):
    runs = [("a", 64, {"mixer.decay": decay}) for decay in ("none", "fixed")]
    assert len(set(series_of([*runs, ("a, decay=none", 64, {"mixer.decay": "none"})]))) == 3


LABELS = (
    "_hidden",
    "nan",
    r"$\frac$",
    "a $5 $6",
    "x" * 300 + "y",
    "x" * 299 + "zy",
    "50% & <b>more</b>",
    "日",
    "本",
)


def test_labels_are_data(tmp_path, monkeypatch):
    for number, (label, size) in enumerate(itertools.product(LABELS, (8, 16))):
        config = {"mixer.d_state": size}
        scores = {(rate, 0): 0.1 + 0.05 * number for rate in (0.1, 0.2)}
        run = write_run(tmp_path, str(number), scores, selected=0.1, label=label, state_bytes=size, config=config)
        write_metrics(run, [(10, 0.1, 0, 0.5)])
    monkeypatch.setattr("sandbox.report.fonts._installed", lambda: [])
    report = write_report(tmp_path, tmp_path / "out", formats=("svg",))
    assert report.notes[0] == "figures: no font here has 日 本, drawn as � in 日, 本"
    drawn = pd.read_csv(tmp_path / "out" / "frontier.csv", keep_default_na=False)
    assert set(drawn["series"]) == set(LABELS)
    short = [text for text in short_names(LABELS).values() if text.startswith("x")]
    texts = ["\N{ZERO WIDTH SPACE}_hidden", "nan", r"$\frac$", "a $5 $6", *short, "�", "� (2)"]
    frontier = (tmp_path / "out" / "frontier.svg").read_text()
    assert [frontier.count(f"<!-- {text} -->") for text in texts] == [1] * len(texts)
    page, latex = ((tmp_path / "out" / name).read_text() for name in ("report.html", "table.tex"))
    assert "50% &amp; &lt;b&gt;more&lt;/b&gt;" in page
    assert "<b>more" not in page
    assert f"<bdi>{LABELS[4]}</bdi>" in page
    assert r"\$\textbackslash{}frac\$" in latex


@pytest.mark.parametrize("columns", ["slice", "model.kind"])
def test_values_and_keys_are_data(tmp_path, columns):
    """Wide letters, mathematics and brackets in titles and at ticks; warnings are errors."""
    for number, (value, size) in enumerate(itertools.product(("語" * 40, "語" * 39 + "文", "a$b$"), (8, 16))):
        config = {"mixer.d_state": size, "model.kind": value, "model.mixers.größe_$x$.kind": f"[/{value}]"}
        scores = {(rate, 0): 0.1 + 0.05 * number for rate in (0.1, 0.2)}
        run = write_run(tmp_path / "runs", str(number), scores, selected=0.1, state_bytes=size, config=config)
        write_metrics(run, [(10, 0.1, 0, 0.5)])
    report = write_report(tmp_path / "runs", tmp_path / "out", columns=columns, formats=("svg",))
    assert {"heatmap.svg", "curves.svg"} < {path.name for path in report.files}
    assert "a$b$" in (tmp_path / "out" / "heatmap.svg").read_text()


def test_a_letter_that_the_font_lacks_is_drawn_in_one_that_has_it(monkeypatch):
    monkeypatch.setattr("sandbox.report.fonts._installed", lambda: ["DejaVu Sans Mono", "STIXGeneral"])
    text = "\N{MATHEMATICAL SCRIPT CAPITAL A}"
    assert families([text]) == ["DejaVu Sans", "STIXGeneral"]
    assert without_glyph([text]) == []
    assert drawable(text) == "�"
    with mpl.rc_context({"font.family": families([text])}):
        assert drawable(text) == text


def test_of_many_series_those_near_the_frontier_are_named_and_others_can_be_chosen(tmp_path):
    for number in range(MOST_LINES + 6):
        size = {"label": f"model {number}", "state_bytes": 100 + number}
        write_run(tmp_path / "runs", str(number), {(0.1, 0): 0.9 - 0.01 * number}, selected=0.1, **size)
    report = write_report(tmp_path / "runs", tmp_path / "out", formats=("svg",))
    (note,) = [note for note in report.notes if note.startswith("frontier")]
    assert note.startswith(f"frontier: {MOST_LINES} of {MOST_LINES + 6} series are named")
    figure = (tmp_path / "out" / "frontier.svg").read_text()
    assert [f"<!-- model {number} -->" in figure for number in range(MOST_LINES + 6)] == [True] * 14 + [False] * 6
    only = ["label=model 18", "label=model 19"]
    report = write_report(tmp_path / "runs", tmp_path / "out", formats=("svg",), only=only)
    assert set(pd.read_csv(tmp_path / "out" / "frontier.csv")["label"]) == {"model 18", "model 19"}
