"""The notebook runs from its first cell to its last, and was committed with what it shows."""

import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIAL = pathlib.Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


STEPS, FEWER_STEPS = "steps=600", "steps=100"
"""What it trains, and what is enough to see that each cell runs."""


def shown(notebook):
    """The kinds of what each cell shows."""
    outputs = [cell.get("outputs", []) for cell in notebook.cells if cell.cell_type == "code"]
    return [sorted({kind for output in cell for kind in output.get("data", {})}) for cell in outputs]


@pytest.mark.slow(seconds=60)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_tutorial_runs_and_shows_what_was_committed():
    committed, again = (nbformat.read(TUTORIAL, as_version=4) for _ in range(2))
    trains = [cell for cell in again.cells if STEPS in cell.source]
    assert len(trains) == 1
    trains[0].source = trains[0].source.replace(STEPS, FEWER_STEPS)
    NotebookClient(again, timeout=300, resources={"metadata": {"path": str(TUTORIAL.parent)}}).execute()
    assert shown(again) == shown(committed)
    assert sum("image/png" in kinds for kinds in shown(again)) == 6
