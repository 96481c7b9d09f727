"""The committed figures, tables and claims of the experiments are those of their committed records."""

import pathlib
import runpy

import pytest

from sandbox.tables import to_csv

GALLERY = runpy.run_path(str(pathlib.Path(__file__).parents[1] / "experiments" / "gallery.py"))
MEASURED = {"records.csv", "evaluations.csv", "references.csv", "costs.csv", "states.csv", "crossovers.csv"}
MEASURED |= {GALLERY["PUBLISHED"]}
"""Tables that are not made from others."""
OUT_OF_DATE = "out of date: run python experiments/gallery.py"


@pytest.mark.slow(seconds=30)
@pytest.mark.parametrize("folder", GALLERY["folders"](), ids=lambda folder: folder.name)
def test_tables_are_those_of_the_records(folder, tmp_path):
    """Figures depend on the fonts of a machine; the numbers in each stand in a table beside it."""
    kept = GALLERY["draw"](folder, tmp_path)
    for name in kept:
        if name.endswith((".csv", ".tex")):
            assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), f"{name} is {OUT_OF_DATE}"
    if (folder / "records.csv").is_file() or (folder / "draw.py").is_file():
        tables = {path.name for path in folder.glob("*.csv")} - MEASURED
        assert tables <= {*kept}, "drawn no longer"
    drawn = [name for name in kept if name.endswith(".png")]
    assert all(name.replace(".png", ".csv") in kept for name in drawn), "the numbers of a figure are missing"


def test_the_gallery_is_that_of_the_experiments():
    claims = GALLERY["all_claims"]()
    assert GALLERY["page"](claims) == (GALLERY["HERE"] / "README.md").read_text(), OUT_OF_DATE
    table = GALLERY["HERE"] / "claims.csv"
    assert (table.read_text() if table.is_file() else "") == (to_csv(claims) if len(claims) else ""), OUT_OF_DATE
