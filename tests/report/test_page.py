"""The page of a report in a browser: charts, highlight, command, tables; without any request."""

import base64
import itertools
import json

import numpy as np
import pandas as pd
import pytest
from browser import chromium, needs_chromium, open_page
from invented_runs import write_metrics, write_run
from matplotlib.figure import Figure

from sandbox.results import MEASURES

LARGEST, SLOWEST = 2_000_000, 2.0
"""Bytes and seconds of the page of 500 runs; the time is that of an idle machine."""

pytestmark = [needs_chromium, pytest.mark.xdist_group("browser")]

LABELS = ("delta rule", "linear", "softmax")
README = """# What recalls?

**In short.** [Ants](ants.md) `do`.

    sandbox experiment=invented

Of *ants* and zebras.

Two machines.

## Finding

More.
"""
CLAIMS = """
command: sandbox experiment=invented
claims:
- claim: Zebras recall.
  source: B 2020
  printed: 0.9
  of: {label: linear, mixer.d_state: 8, slice: pairs=4}
  at_least: 0.9
- claim: Ants recall.
  source: A 2021
  printed: 0.5
  of: {label: delta rule, mixer.d_state: 8, slice: pairs=4}
  at_least: 0.1
"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def invented(root, sizes=(8, 16)):
    """Three labels at two sizes, of which softmax has no size; two slices, two rates, two seeds, and a finding."""
    for number, label in enumerate(LABELS):
        for size in sizes if label != "softmax" else sizes[:1]:
            score = 0.2 + 0.1 * number + 0.02 * size
            members = {
                (rate, seed): {"pairs=4": score + 0.01 * seed, "pairs=16": score / 2 + 0.05 * seed}
                for rate in (0.01, 0.1)
                for seed in (0, 1)
            }
            config = {"mixer.name": label, "mixer.decay": "none" if number else "fixed"}
            config |= {"mixer.d_state": size} if label != "softmax" else {}
            run = write_run(
                root,
                f"{number}-{size}",
                members,
                selected=0.01,
                label=label,
                state_bytes=512 * size * (1 + number),
                config=config,
                chance=0.1,
                diverged=[(0.1, 0)] if label == "linear" else [],
            )
            write_metrics(run, [(step, 0.01, seed, step / 400) for step in (100, 200) for seed in (0, 1)])
    (root / "claims.yaml").write_text(CLAIMS)
    (root / "README.md").write_text(README)
    return root


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    from sandbox.report import write_report

    root = invented(tmp_path_factory.mktemp("page") / "runs")

    def commands(records):
        runs = records[["study", "run_id"]].drop_duplicates().to_numpy().tolist()
        return {(study, run): f"sandbox mixer={run} 'task.pairs=[4,16]' study=x" for study, run in runs}

    write_report(root, root / "report", formats=(), commands=commands)
    return root / "report"


def opened(browser, path, **options):
    """The tab of a page that is ready, with what it said and asked for."""
    tab, messages, requests = open_page(browser, path, **options)
    tab.wait_for_function("document.querySelector('#highlight').options.length > 0")
    tab.said, tab.asked = messages, requests
    return tab


@pytest.fixture
def page(browser, report):
    tab = opened(browser, report / "report.html", width=1280)
    yield tab
    tab.close()


MARKS = """async ([chart, name]) => {
  const view = await window.charts[chart];
  const find = (item) => item.name === name ? item.items : (item.items || []).flatMap(find);
  return find(view.scenegraph().root).map((mark) => {
    const {group, label, x, mean, command, slice} = mark.datum;
    const look = {place: mark.x, opacity: mark.opacity ?? 1, shape: mark.shape, fill: mark.fill};
    return {group, label, x, mean, command, slice, ...look};
  });
}"""


def marks(page, chart="explore"):
    return page.evaluate(MARKS, [chart, "shown_marks"])


def settle(page, chart="explore"):
    """Waits until a chart shows what its controls say: Vega draws it after the event, not in it."""
    page.evaluate("(name) => window.charts[name].then((view) => view.runAsync()).then(() => 0)", chart)


def choose(page, name, value):
    page.select_option(f"select[name={name}]", value)
    settle(page)


def open_table(page, chart="explore"):
    """Opens the table below a chart, which is filled after the event."""
    details = page.locator(f"details[data-chart={chart}]")
    details.locator("summary").press("Enter")
    details.locator("tbody tr").first.wait_for()
    return details


def place_of(page, find):
    """Where on the page an item is that JavaScript finds in the view: its centre in pixels of the window."""
    page.evaluate(f"() => ({find})().scrollIntoView({{block: 'center'}})")
    return page.evaluate(
        f"() => {{ const box = ({find})().getBoundingClientRect(); "
        "return [box.x + box.width / 2, box.y + box.height / 2]; }"
    )


LEGEND_OPACITIES = (
    "[...new Set([...document.querySelectorAll('#explore .role-legend-label text')]"
    ".map((text) => Number(getComputedStyle(text).opacity)))]"
)
COPIED = "document.querySelector('#copied').textContent !== ''"
POINTS = "document.querySelectorAll('#explore .shown_marks path')"


def legend_entry(name, chart="explore"):
    return (
        f"() => [...document.querySelectorAll('#{chart} .role-legend-label text')]"
        f".find((text) => text.textContent === {json.dumps(name)})"
    )


def test_it_loads_in_silence_and_asks_for_nothing(page, report):
    assert page.said == []
    assert page.asked == [(report / "report.html").as_uri()]
    charts = page.locator(".chart [role=graphics-document]")
    assert charts.count() == 4
    said = [chart.get_attribute("aria-label") for chart in charts.all()]
    assert all("accuracy" in text or "Scores" in text for text in said), said
    assert page.locator(".question").inner_text() == "What recalls?"
    assert "In short. Ants do." in page.locator("body").inner_text()
    method = page.locator("details", has_text="What was run")
    method.locator("summary").press("Enter")
    assert method.locator("p").all_inner_texts() == ["Of ants and zebras.", "Two machines."]
    for control in page.locator("select, input, textarea").all():
        assert control.evaluate("(control) => control.labels.length") == 1


def test_the_axes_slice_and_colours_can_be_chosen(page):
    assert {mark["slice"] for mark in marks(page)} == {"pairs=16"}
    assert {mark["x"] for mark in marks(page)} == {4096, 8192, 16384, 12288}
    choose(page, "x_axis", "parameters")
    assert {mark["x"] for mark in marks(page)} == {5096, 9192, 17384, 13288}
    choose(page, "x_axis", "mixer.d_state")
    assert {mark["x"] for mark in marks(page)} == {8, 16}, "softmax is a level"
    before = {mark["label"]: mark["mean"] for mark in marks(page)}
    choose(page, "y_axis", "exact")
    assert {mark["label"]: mark["mean"] for mark in marks(page)} != before
    choose(page, "slice_shown", "pairs=4")
    assert {mark["slice"] for mark in marks(page)} == {"pairs=4"}
    assert {mark["group"] for mark in marks(page)} == {"delta rule", "linear"}
    choose(page, "grouped_by", "mixer.decay")
    assert {mark["group"] for mark in marks(page)} == {"fixed", "none"}
    assert len({(mark["shape"], mark["fill"]) for mark in marks(page)}) == 2
    assert page.said == []


def test_a_logarithmic_axis_can_be_linear(page):
    ends = "window.charts.explore.then((view) => view.scale('x').domain().map(Math.round))"
    logarithmic = page.evaluate(ends)
    page.uncheck("input[name=log_x]")
    settle(page)
    assert logarithmic[1] <= 14 < page.evaluate(ends)[0], "exponents of 2, and bytes"


def test_the_legend_says_how_many_seeds_and_which_interval(page):
    titles = page.evaluate(
        "() => [...document.querySelectorAll('#explore .role-legend-title text')].map(text => text.textContent)"
    )
    assert titles == ["Mean and 95 % t interval over 2 seeds."]


def test_a_legend_of_more_names_has_room(browser, report):
    tab = opened(browser, report / "report.html", width=390)
    choose(tab, "x_axis", "difficulty")
    tab.wait_for_function("document.querySelector('#highlight').options.length === 6", timeout=5000)
    box = tab.evaluate(
        "[...document.querySelectorAll('#explore .role-legend-label text, #explore svg')]"
        ".map(part => part.getBoundingClientRect().bottom)"
    )
    assert max(box[1:]) <= box[0], "an entry below the drawing"
    tab.close()


def test_a_group_keeps_its_colour_from_one_axis_to_another(page):
    before = {mark["label"]: (mark["fill"], mark["shape"]) for mark in marks(page)}
    choose(page, "x_axis", "difficulty")
    choose(page, "x_axis", "state_bytes")
    assert {mark["label"]: (mark["fill"], mark["shape"]) for mark in marks(page)} == before


def test_the_table_of_the_chart_begins_with_the_model_and_copies_commands(page):
    table = open_table(page).locator("table")
    assert table.locator("th").all_inner_texts()[:4] == ["series", "slice", "state_bytes", "mean"]
    table.locator("button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(COPIED)
    assert table.locator("td").first.inner_text().removesuffix(" Copy") in page.locator("#copied").inner_text()
    assert page.locator("#command").input_value().startswith("sandbox mixer=")


def test_a_click_on_the_legend_dims_the_others_in_every_chart(page):
    page.mouse.click(*place_of(page, legend_entry("linear")))
    for chart in ("explore", "heatmap_chart", "curves_chart", "learning_rates_chart"):
        settle(page, chart)
        opacities = {mark["opacity"] > 0.5 for mark in marks(page, chart)}
        assert opacities == {True, False}, chart
    assert {mark["label"] for mark in marks(page) if mark["opacity"] == 1} == {"linear"}
    assert page.input_value("#highlight") == "linear"
    page.mouse.click(*place_of(page, legend_entry("linear")))
    page.wait_for_function("document.querySelector('#highlight').value === ''")
    settle(page)
    assert {mark["opacity"] for mark in marks(page)} == {1}, "the same entry again"
    page.mouse.click(*place_of(page, legend_entry("linear")))
    page.wait_for_function("document.querySelector('#highlight').value === 'linear'")
    page.select_option("#highlight", "")
    settle(page)
    assert {mark["opacity"] for mark in marks(page)} == {1}
    assert page.evaluate(LEGEND_OPACITIES) == [1], "no legend remembers the click"


def test_models_at_one_place_stand_side_by_side(page):
    """Two models of 8 rows, with means, seeds and intervals of their own places; they have one x."""
    choose(page, "x_axis", "mixer.d_state")
    places = {(mark["label"], mark["x"]): mark["place"] for mark in marks(page)}
    for size in (8, 16):
        assert places["linear", size] - places["delta rule", size] == 8
    assert page.evaluate("window.charts.explore.then((view) => view.signal('x_ticks'))") == [3, 4]


@pytest.mark.parametrize("chart", ["curves_chart", "learning_rates_chart"])
def test_a_click_on_the_legend_of_another_chart_lights_its_series_everywhere(page, chart):
    page.mouse.click(*place_of(page, legend_entry("linear", chart)))
    for name in ("explore", "heatmap_chart", "curves_chart", "learning_rates_chart"):
        settle(page, name)
        assert {mark["opacity"] > 0.5 for mark in marks(page, name)} == {True, False}, name
    assert {mark["label"] for mark in marks(page) if mark["opacity"] == 1} == {"linear"}
    assert page.input_value("#highlight") == "linear"
    page.select_option("#highlight", "delta rule")
    settle(page)
    assert {mark["label"] for mark in marks(page) if mark["opacity"] == 1} == {"delta rule"}
    page.mouse.click(*place_of(page, legend_entry("linear", chart)))
    settle(page)
    assert {mark["label"] for mark in marks(page) if mark["opacity"] == 1} == {"linear"}, "the same entry again"
    choose(page, "grouped_by", "mixer.decay")
    page.mouse.click(*place_of(page, legend_entry("linear", chart)))
    settle(page)
    assert {mark["label"] for mark in marks(page) if mark["opacity"] == 1} == {"linear"}
    assert page.input_value("#highlight") == "", "decays are listed, and none of them is chosen"
    assert page.evaluate("document.querySelector('#highlight').selectedIndex") == -1


def test_each_cost_is_explained(page):
    page.locator("summary", has_text="costs").press("Enter")
    page.locator("dl").wait_for(state="visible")
    names = page.locator("select[name=x_axis] option").all_inner_texts()
    assert page.locator("dt").all_inner_texts() == names[: len(MEASURES)]


def test_a_click_on_a_point_shows_its_command(page):
    page.mouse.click(*place_of(page, f"() => {POINTS}[1]"))
    (command,) = {mark["command"] for mark in marks(page)[1:2]}
    assert page.input_value("#command") == command
    assert command.startswith("sandbox mixer=")
    assert "'task.pairs=[4,16]'" in command
    selected = "document.querySelector('#command').selectionEnd"
    assert page.evaluate(selected) == len(command)
    page.wait_for_function(COPIED)


def test_each_chart_has_its_data_as_a_table(page):
    for chart in ("explore", "heatmap_chart", "curves_chart", "learning_rates_chart"):
        assert open_table(page, chart).locator("tbody tr").count() == len(marks(page, chart)), chart
    assert "sandbox mixer=" in page.locator("details[data-chart=explore]").inner_text()


def column(page, table, number):
    return page.locator(f"{table} tbody tr td:nth-child({number})").all_inner_texts()


def test_tables_are_sorted_by_a_click_on_a_head(page):
    assert column(page, "#claims", 1) == ["Zebras recall.", "Ants recall."]
    page.locator("#claims th button").first.press("Enter")
    assert column(page, "#claims", 1) == ["Ants recall.", "Zebras recall."]
    assert page.locator("#claims th").first.get_attribute("aria-sort") == "ascending"
    page.locator("#claims th button").first.press("Enter")
    assert column(page, "#claims", 1) == ["Zebras recall.", "Ants recall."]
    scores = "table.scores:not(#claims)"
    heads = page.locator(f"{scores} th").all_inner_texts()
    number = heads.index("pairs=4") + 1
    page.locator(f"{scores} th button").nth(number - 1).click()
    shown = [float(text.split()[0]) for text in column(page, scores, number)]
    assert shown == sorted(shown)


def test_the_table_to_download_is_table_csv(page, report):
    link = page.locator("a[download='table.csv']").get_attribute("href")
    assert base64.b64decode(link.partition("base64,")[2]).decode() == (report / "table.csv").read_text()


def test_diverged_runs_are_named(page):
    page.locator("summary", has_text="diverged").click()
    assert "invented/1-16" in page.locator("body").inner_text()


def test_a_phone_shows_it_without_sideways_scrolling(browser, report):
    tab = opened(browser, report / "report.html", width=390, height=800, is_mobile=True)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate("document.querySelector('#explore svg').clientWidth") > 250
    assert tab.said == []
    tab.close()


def many_runs(folder):
    """The tables of 500 runs with 3 seeds, 3 rates and 3 slices, as `sandbox-collect` writes them."""
    from sandbox.config import Config
    from sandbox.models.mixers import MIXERS
    from sandbox.tables import collect, collect_curves, to_csv
    from sandbox.tasks import TASKS

    rates, slices = (1e-3, 3e-3, 1e-2), ("pairs=4", "pairs=8", "pairs=16")
    members = {(rate, seed): dict.fromkeys(slices, 0.5) for rate in rates for seed in range(3)}
    options = Config(MIXERS["outer"](), TASKS["mqar"]()).options
    options["config.seed"] = options.pop("seed")
    run = write_run(folder / "runs", "one", members, selected=3e-3, chance=0.01, config=options)
    write_metrics(run, [(step, *member, 0.5) for step in range(100, 1300, 100) for member in members])
    records, evaluations = collect(run), collect_curves(run)
    random = np.random.default_rng(0)
    tables = {"records.csv": [], "evaluations.csv": []}
    varied = itertools.product(
        ("none", "fixed", "data_scalar", "data_channel"), range(5), (4, 8, 16, 32, 64), range(5)
    )
    for number, (decay, layers, size, half_life) in enumerate(varied):
        name = f"{number:012d}"
        changed = {"run_id": name, "mixer.decay": decay, "model.num_layers": layers + 1, "mixer.d_state": size}
        changed |= {"mixer.half_life": 16.0 * 4**half_life, "state_bytes": 256 * size * (layers + 1)}
        scores = {score: random.random(len(records)).round(6) for score in ("accuracy", "exact", "loss")}
        tables["records.csv"].append(records.assign(**changed, **scores))
        reached = {"run_id": name, "validation_accuracy": random.random(len(evaluations)).round(6)}
        tables["evaluations.csv"].append(evaluations.assign(**reached))
    for name, parts in tables.items():
        (folder / name).write_text(to_csv(pd.concat(parts)))
    return folder / "records.csv"


@pytest.mark.slow(seconds=20)
def test_a_page_of_500_runs_is_small_and_drawn_at_once(browser, tmp_path, monkeypatch):
    from sandbox.cli.reproduce import commands
    from sandbox.report import write_report

    for figure in ("frontier", "heatmap", "curves", "learning_rates"):  # they are not on the page
        monkeypatch.setattr(f"sandbox.report.{figure}._draw", lambda *shown: Figure())
    write_report(many_runs(tmp_path), tmp_path / "report", formats=(), commands=commands)
    path = tmp_path / "report" / "report.html"
    assert path.stat().st_size < LARGEST
    tab = opened(browser, path)
    seconds = tab.evaluate("performance.now()") / 1000
    shown = {mark["command"] for mark in marks(tab)}
    assert all(text.startswith("sandbox ") and " mixer=outer " in text for text in shown)
    assert "500 runs with 4500 members" in tab.locator("body").inner_text()
    assert tab.said == []
    assert seconds < 5 * SLOWEST, "drawn slowly, even for a machine that does other things"
    tab.close()
