"""Our decode states against published formulas: the page in `docs` is up to date, and its differences add up."""

import pathlib
import runpy

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "state_bytes.md"
MADE = runpy.run_path(str(PAGE.with_name("state_bytes_page.py")))
COMPARISONS = MADE["COMPARISONS"]


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.mixer)
def test_the_parts_add_up_to_the_difference(comparison):
    state = comparison.state()
    parts = {part.why: part.num_bytes(state) for part in comparison.parts}
    assert comparison.ours() - comparison.theirs() == sum(parts.values()), parts


@pytest.mark.parametrize(
    "comparison",
    [comparison for comparison in COMPARISONS if comparison.model is not None],
    ids=lambda comparison: comparison.mixer,
)
def test_the_formulas_give_the_published_bytes(comparison):
    assert comparison.their_model() == comparison.model


def test_the_page_is_up_to_date():
    message = "out of date: run python docs/state_bytes_page.py"
    assert MADE["page"]() == PAGE.read_text(encoding="utf-8"), message
