"""The code that the documentation shows runs as it stands, top to bottom."""

import pathlib
import re
import runpy
import unittest.mock

import pytest

from sandbox.models.mixers import MIXERS
from sandbox.tasks import TASKS

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGES_WITH_CODE = [page for page in sorted(DOCS.glob("*.md")) if "```python" in page.read_text()]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    # What a page adds to a table is taken out again.
    with unittest.mock.patch.dict(MIXERS), unittest.mock.patch.dict(TASKS):
        exec(compile(code, str(page), "exec"), {"__name__": page.stem})


@pytest.mark.slow
def test_the_table_of_mixers_is_that_of_the_code():
    made = runpy.run_path(str(DOCS / "mixers_page.py"))["page"]()
    assert made == (DOCS / "mixers.md").read_text(), "out of date: run python docs/mixers_page.py"


def test_the_page_of_speeds_is_that_of_the_committed_tables():
    made = runpy.run_path(str(DOCS / "performance_page.py"))["page"]()
    assert made == (DOCS / "performance.md").read_text(), "out of date: run python docs/performance_page.py"


def test_the_page_of_drift_is_that_of_the_committed_table():
    made = runpy.run_path(str(DOCS / "drift_page.py"))["page"]()
    assert made == (DOCS / "drift.md").read_text(), "out of date: run python docs/drift_page.py"
