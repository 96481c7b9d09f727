"""The lesson: its page is that of the committed tables, and works in a browser without a network."""

import json
import pathlib
import re
import runpy

import pandas as pd
import pytest
from browser import chromium, needs_chromium, open_page

from sandbox.models.mixers import MIXERS

ROOT = pathlib.Path(__file__).parents[1]
LESSON = ROOT / "docs" / "lesson"
PAGE = LESSON / "index.html"


def ours(page: str) -> tuple[str, dict]:
    """The page without its scripts, and its charts without the version of Vega-Lite."""
    charts = json.loads(re.search(r'id="chart-data">(.*?)</script>', page)[1])
    for chart in charts.values():
        del chart["$schema"]
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL), charts


@pytest.mark.slow(seconds=10)
def test_the_lesson_is_that_of_the_committed_tables(monkeypatch):
    monkeypatch.syspath_prepend(LESSON)
    made, committed = runpy.run_path(str(LESSON / "make.py"))["page"](), PAGE.read_text(encoding="utf-8")
    assert ours(made) == ours(committed), "out of date: run python docs/lesson/make.py"
    assert len(committed.encode()) < 3e6


def test_the_map_of_the_family_has_every_mixer():
    family = pd.read_csv(LESSON / "data" / "family.csv")
    assert {*family["mixer"]} == {*MIXERS}, "out of date: run python docs/lesson/measure.py family, then make.py"


@needs_chromium
@pytest.mark.slow(seconds=20)
def test_the_lesson_works_in_a_browser():
    crossings = pd.read_csv(ROOT / "experiments" / "cost_crossover" / "crossovers.csv")
    crossings = crossings.set_index(["measure", "series"])
    with chromium() as browser:
        page, messages, requests = open_page(browser, PAGE)
        assert page.evaluate("Object.keys(window.charts).length") == page.locator("section").count() == 12
        chart = page.locator("#chart-two_curves")

        page.get_by_label("which recurrence").select_option("gla")
        page.get_by_label("what to count").select_option(measure := "time per token, training")
        length = crossings.loc[(measure, "gla"), "length"]
        chart.get_by_text(f"cross at {length:,.0f} tokens").wait_for()

        page.get_by_label("length, as a power of two").first.press("End")
        chart.get_by_text("8,192 tokens").wait_for()

        for choice in page.locator(".chart select").all():
            for number in range(choice.locator("option").count()):
                choice.select_option(index=number)
        for slider in page.locator(".chart input").all():
            slider.press("End")
            slider.press("Home")

        page.set_viewport_size({"width": 390, "height": 800})
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
        for name in page.locator("section").evaluate_all("all => all.map((one) => one.id)"):
            assert page.locator(f"#chart-{name} :is(input, select)").count() > 0, f"{name}: nothing to set"
        assert requests == [PAGE.as_uri()]
        assert messages == []
