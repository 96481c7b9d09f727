"""`docs/add_a_figure.md` is all that a new figure takes: one file, and an import and an entry in a table."""

import pathlib
import re
import sys
import types
import unittest.mock

import pandas as pd

from sandbox.report import write, write_report

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "add_a_figure.md").read_text()


def test_a_figure_is_added_as_the_page_says(sweep, tmp_path, monkeypatch):
    (file,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    after_file = PAGE.split("```")[-1]
    (path,) = re.findall(r"^This is `(sandbox/report/\w+)\.py`", PAGE, flags=re.MULTILINE)
    import_line, entry = re.findall(
        r"^ {4}(?: {4})?(from sandbox.*|\"\w+\": .*),?$", after_file, flags=re.MULTILINE
    )
    module = types.ModuleType(path.replace("/", "."))
    exec(compile(file, f"{path}.py", "exec"), vars(module))

    monkeypatch.setitem(sys.modules, module.__name__, module)  # and none that the report imports is forgotten
    with (
        unittest.mock.patch.dict(write.FIGURES),
        unittest.mock.patch.dict(vars(write)),
    ):
        exec(f"{import_line}\nFIGURES |= {{{entry}}}", vars(write))
        report = write_report(sweep, tmp_path / "out", formats=("svg",))
        assert list(write.FIGURES)[-1] == module.__name__.split(".")[-1] == "steps"

    assert {tmp_path / "out" / f"steps.{suffix}" for suffix in ("svg", "csv")} < set(report.files)
    drawn = pd.read_csv(tmp_path / "out" / "steps.csv")
    assert drawn.values.tolist() == [["delta rule", 8, 100], ["delta rule", 16, 100], ["linear_100%", 16, 100]]
    page = (tmp_path / "out" / "report.html").read_text()
    assert '<figure id="steps">' in page
    assert f"<figcaption>{module._CAPTION}</figcaption>" in page
    assert "steps" not in write.FIGURES
