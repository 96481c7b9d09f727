"""Every parameter of every mixer starts as `docs/starts.yaml` says, and the page made from it is up to date."""

import pathlib
import runpy

import numpy as np
import pytest
from flax import nnx

from sandbox.models.mixers import MIXERS

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "starts.md"
MADE = runpy.run_path(str(PAGE.with_name("starts_page.py")))


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_parameter_starts_as_the_table_says(mixer):
    config = MADE["config_of"](mixer)
    made = MADE["parameters"](config.make(MADE["D_MODEL"], rngs=nnx.Rngs(0)))
    formulas = {row.path: row.ours for row in MADE["rows_of"](mixer)}
    assert formulas.keys() == made.keys()
    starts = {path: MADE["start"](formula, made[path].shape, config) for path, formula in formulas.items()}
    differences = {path: start.differs(np.asarray(made[path][...])) for path, start in starts.items()}
    assert not {path: statistics for path, statistics in differences.items() if statistics}


def test_every_difference_has_a_reason():
    reasons = {row.because for mixer in MIXERS for row in MADE["rows_of"](mixer)}
    assert reasons == {None, *MADE["TABLE"]["reasons"]}


def test_the_page_is_up_to_date():
    assert MADE["page"]() == PAGE.read_text(encoding="utf-8"), "out of date: run python docs/starts_page.py"
