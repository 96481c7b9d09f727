"""Our decode states against published formulas: the page in `docs` is that of the code, and its reasons add up."""

import pytest
from published_state_sizes import COMPARISONS, PAGE, page


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.mixer)
def test_the_parts_named_make_the_whole_difference(comparison):
    state = comparison.state()
    parts = {part.why: part.num_bytes(state) for part in comparison.parts}
    assert comparison.ours() - comparison.theirs() == sum(parts.values()), parts


@pytest.mark.parametrize(
    "comparison",
    [comparison for comparison in COMPARISONS if comparison.model is not None],
    ids=lambda comparison: comparison.mixer,
)
def test_the_formulas_give_the_published_numbers(comparison):
    assert comparison.their_model() == comparison.model


def test_the_page_is_that_of_the_code():
    message = "out of date: run python tests/models/published_state_sizes.py"
    assert page() == PAGE.read_text(encoding="utf-8"), message
