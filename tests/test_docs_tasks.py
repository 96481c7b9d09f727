"""`docs/write_a_task.md` is all that a new task takes: its two files and two lines, in a copy of the project."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow(seconds=60)
def test_a_task_is_added_as_the_page_says(tmp_path):
    page = (ROOT / "docs" / "write_a_task.md").read_text()
    file, *_ = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (test_file,) = re.findall(r"^```py\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    import_line, entry = re.findall(r"^ {4}(?: {4})?(from sandbox.*|\"histogram\": .*)$", page, flags=re.MULTILINE)

    for name in ("sandbox", "tests", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    tasks = tmp_path / "sandbox" / "tasks"
    (tasks / "histogram.py").write_text(file)
    (tmp_path / "tests" / "tasks" / "test_histogram.py").write_text(test_file)
    registry = (tasks / "__init__.py").read_text()
    registry = registry.replace("\nTASKS: ", f"{import_line}\n\nTASKS: ").replace("\n}\n", f"\n    {entry}\n}}\n")
    (tasks / "__init__.py").write_text(registry)

    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "tests/tasks", "tests/cli/test_show.py"]
    ran = subprocess.run([*command, "-k", "histogram"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = int(re.search(r"(\d+) passed", ran.stdout)[1])
    assert passed >= 20, "the tests of every task ran for the new one"
