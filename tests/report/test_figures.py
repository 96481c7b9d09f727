import itertools
import json

import numpy as np
import pandas as pd
import pytest
from invented_runs import write_metrics, write_run
from matplotlib.figure import Figure

from sandbox.errors import InputError
from sandbox.report import FIGURES, figure, write_report
from sandbox.report.drawing import NothingToDraw
from sandbox.report.frontier import pareto
from sandbox.report.learning_rates import short_rate
from sandbox.report.style import format_bytes
from sandbox.tables import collect, collect_curves


def drawn(source, out, figure, **options):
    """The numbers behind one figure."""
    write_report(source, out, formats=(), **options)
    return pd.read_csv(out / f"{figure}.csv", keep_default_na=False, na_values=[""])


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_from_tables_alone(name, sweep):
    records, evaluations = collect(sweep), collect_curves(sweep)
    assert isinstance(figure(name, records, evaluations, slice="pairs=4"), Figure)


def test_a_figure_says_what_it_lacks(sweep):
    with pytest.raises(
        InputError, match="figure 'pareto': must be one of frontier, heatmap, curves, learning_rates"
    ):
        figure("pareto", collect(sweep))
    with pytest.raises(NothingToDraw, match=r"no metrics.csv"):
        figure("curves", collect(sweep))


def test_the_pareto_step_keeps_what_no_other_point_beats():
    cost, score = [4, 1, 2, 2, 8, 4], [0.7, 0.2, 0.5, 0.4, 0.7, 0.6]
    assert pareto(cost, score).tolist() == [1, 2, 0]
    assert pareto([1, 1], [0.5, 0.5]).tolist() == [0]
    points = np.random.default_rng(0).integers(0, 6, size=(40, 2))
    beaten = [
        any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points.tolist())
        for cost, score in points.tolist()
    ]
    best = {tuple(point) for point, lost in zip(points.tolist(), beaten, strict=True) if not lost}
    kept = [tuple(point) for point in points[pareto(*points.T)].tolist()]
    assert kept == sorted(best)


def test_the_frontier_holds_the_mean_and_interval_of_the_hardest_slice(sweep, tmp_path):
    numbers = drawn(sweep, tmp_path / "out", "frontier")
    assert numbers["slice"].unique().tolist() == ["pairs=16"]
    half = 12.7062047 * 0.05  # Student's t with one degree of freedom, and two scores 0.1 apart
    columns = ["series", "state_bytes", "accuracy", "low", "high", "num_diverged", "on_frontier"]
    assert numbers[columns].values.tolist() == [
        ["delta rule", 4096, pytest.approx(0.4), 0, 1, 0, True],
        ["delta rule", 8192, pytest.approx(0.85), pytest.approx(0.85 - half), 1, 1, True],
        ["linear_100%", 8192, pytest.approx(0.15), 0, pytest.approx(0.15 + half), 0, False],
    ]


def test_the_frontier_takes_another_slice_and_axis(sweep, tmp_path):
    numbers = drawn(sweep, tmp_path / "out", "frontier", x="mixer.d_state", slice="pairs=4")
    assert numbers["mixer.d_state"].tolist() == [8, 16, 16]
    assert numbers["accuracy"].tolist() == pytest.approx([0.7, 0.95, 0.7])


def test_the_heatmap_has_a_cell_per_size_and_slice(sweep, tmp_path):
    numbers = drawn(sweep, tmp_path / "out", "heatmap")
    cells = numbers.set_index(["panel", "mixer.d_state", "slice"])["accuracy"].to_dict()
    assert cells == pytest.approx(
        {
            ("delta rule", 8, "pairs=4"): 0.7,
            ("delta rule", 8, "pairs=16"): 0.4,
            ("delta rule", 16, "pairs=4"): 0.95,
            ("delta rule", 16, "pairs=16"): 0.85,
            ("linear_100%", 16, "pairs=4"): 0.7,
            ("linear_100%", 16, "pairs=16"): 0.15,
        }
    )


def test_the_heatmap_against_a_config_key_is_one_panel_where_the_key_names_the_labels(tmp_path):
    for (decay, d_state), accuracy in zip(
        itertools.product(("none", "fixed"), (8, 16)), (0.1, 0.2, 0.3, 0.4), strict=True
    ):
        config = {"mixer.decay": decay, "mixer.d_state": d_state}
        scores = {(0.1, 0): accuracy}
        write_run(tmp_path, f"{decay}{d_state}", scores, selected=0.1, label=f"{decay} decay", config=config)
    numbers = drawn(tmp_path, tmp_path / "out", "heatmap", columns="mixer.decay")
    cells = numbers.set_index(["mixer.decay", "mixer.d_state"])["accuracy"].to_dict()
    assert cells == {("none", 8): 0.1, ("none", 16): 0.2, ("fixed", 8): 0.3, ("fixed", 16): 0.4}
    assert numbers["panel"].isna().all()


def test_series_of_one_size_each_are_the_rows_of_one_heatmap(tmp_path):
    """The best is on top, with its size, and each row has its own scores."""
    for number, (label, score) in enumerate({"ant": 0.2, "bee": 0.9, "cat": 0.5}.items()):
        members = {(0.1, 0): {"pairs=4": score, "pairs=16": score / 2}}
        write_run(tmp_path, label, members, selected=0.1, label=label, state_bytes=1024 * (1 + number))
    axes = figure("heatmap", collect(tmp_path)).axes
    assert len(axes) == 2, "the rows, and the bar of colours"
    rows = [tick.get_text() for tick in axes[0].get_yticklabels()]
    assert rows == ["ant, 1 KiB", "cat, 3 KiB", "bee, 2 KiB"], "from the bottom"
    texts = {text.get_position(): text.get_text() for text in axes[0].texts}
    assert [texts[0, row] for row in range(3)] == ["20.0", "50.0", "90.0"]
    assert [texts[1, row] for row in range(3)] == ["10.0", "25.0", "45.0"]


def test_the_heatmap_leaves_out_models_that_lack_the_key_and_says_so(tmp_path):
    for number, half_life in enumerate((None, 16.0, 64.0)):
        config = {"mixer.d_state": 8, "mixer.half_life": half_life}
        label = "none" if half_life is None else "decay"
        write_run(tmp_path / "runs", str(number), {(0.1, 0): 0.5}, selected=0.1, label=label, config=config)
    report = write_report(tmp_path / "runs", tmp_path / "out", columns="mixer.half_life", formats=("svg",))
    assert "heatmap: none is left out, it has no mixer.half_life" in report.notes
    drawn = pd.read_csv(tmp_path / "out" / "heatmap.csv")
    assert drawn["mixer.half_life"].tolist() == [16.0, 64.0]


def test_a_curve_follows_the_selected_rate_and_keeps_members_that_stopped(sweep, tmp_path):
    numbers = drawn(sweep, tmp_path / "out", "curves")
    assert numbers["mixer.d_state"].unique().tolist() == [8]
    columns = ["step", "accuracy", "low", "high", "num_seeds"]
    assert numbers[columns].values.tolist() == [
        [100, pytest.approx(0.4), 0.2, 0.6, 2],
        [200, pytest.approx(0.5), 0.4, 0.6, 2],
    ]


def test_curves_join_on_learning_rates_printed_in_another_precision(tmp_path):
    run = write_run(tmp_path, "a", {(0.001, 0): 0.5}, selected=0.001)
    write_metrics(run, [(100, float(np.float32(0.001)), 0, 0.25), (100, 0.0011, 0, 0.75)])
    assert drawn(tmp_path, tmp_path / "out", "curves")["accuracy"].tolist() == [0.25]


def test_learning_rates_show_every_member_of_the_validation_split(sweep, tmp_path):
    numbers = drawn(sweep, tmp_path / "out", "learning_rates")
    small = numbers[numbers["mixer.d_state"] == 8].set_index(["learning_rate", "seed"])
    assert small["accuracy"].to_dict() == pytest.approx(
        {(0.001, 0): 0.065, (0.001, 1): 0.045, (0.01, 0): 0.1, (0.01, 1): 0.1}
    )
    assert small["mean"].tolist() == pytest.approx([0.055, 0.055, 0.1, 0.1])
    assert small["selected"].tolist() == [True, True, False, False]


@pytest.mark.slow(seconds=4)
def test_every_format_is_written_and_the_same_numbers_give_the_same_bytes(sweep, tmp_path):
    for name in ("first", "second"):
        report = write_report(sweep, tmp_path / name, formats=("pdf", "png"))
        assert {path.name for path in report.files} == {path.name for path in (tmp_path / name).iterdir()}
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
    assert b"Type3" not in (tmp_path / "first" / "frontier.pdf").read_bytes()


def test_eight_series_have_their_legend_beside_the_axes(tmp_path):
    for number in range(8):
        label = f"mixer {number}"
        write_run(tmp_path, f"r{number}", {(0.1, 0): 0.01 * number}, selected=0.1, label=label)
    report = write_report(tmp_path, tmp_path / "out", formats=("svg",))
    width = json.loads((tmp_path / "out" / "frontier.svg").read_text().split('width="')[1].split("pt")[0])
    assert width > 4 * 72
    assert not [note for note in report.notes if note.startswith("frontier")]


def test_sizes_and_rates_print_short():
    texts = [format_bytes(size) for size in (0, 512, 1024, 1536, 1032, 1 << 20, 1023 << 10)]
    assert texts == ["0 B", "512 B", "1 KiB", "1.5 KiB", "1.01 KiB", "1 MiB", "1023 KiB"]
    assert [short_rate(rate) for rate in (3e-4, 3.2e-4, 0.01, 1.0)] == ["3e-4", "3.2e-4", "1e-2", "1e0"]


@pytest.mark.parametrize("column", ["parameters", "training_flops_per_token", "decode_flops_per_token", "seconds"])
def test_the_frontier_is_drawn_against_any_cost(sweep, tmp_path, column):
    numbers = drawn(sweep, tmp_path / "out", "frontier", x=column)
    expected = {"parameters": 5096, "training_flops_per_token": 300 * 4096, "seconds": 2.5}
    smallest = expected.get(column, 100 * 4096)
    assert numbers[column].min() == smallest
