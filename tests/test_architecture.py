"""`docs/architecture.md` is true: its picture, its paths and names, and its table of what to touch."""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pandas as pd
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def layers_of_contract() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return next(contract["layers"] for contract in contracts if contract["name"] == "imports go downward only")


def table(heading: str) -> list[list[str]]:
    """The body of the first table under a heading, a list of cells per row."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_picture_shows_the_layers_of_the_contract(page):
    text = (ROOT / page).read_text()
    layers = layers_of_contract()
    if page == "README.md":  # ends above the ground floor
        layers = layers[: layers.index("scans") + 1]
    lines = [re.split(r" {2,}", line.strip())[0] for line in text.splitlines()]
    first = lines.index(layers[0])
    assert lines[first : first + len(layers)] == layers


def test_every_path_and_name_exists():
    paths = re.findall(r"`([\w./]+/[\w.]*)`|`(\w+\.py)`|\((\w+\.md)\)", PAGE)
    names = re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)
    for path in ["".join(found) for found in paths] + [path for path, _ in names]:
        if path.startswith("outputs/") or path.rstrip("/").endswith(("/x.py", "/x.yaml", "x/README.md")):
            continue
        assert any(
            (ROOT / folder / path).exists()
            for folder in ("", "docs", "sandbox", "sandbox/models", "sandbox/scans", "sandbox/tasks")
        ), path
    for path, name in names:
        tree = ast.parse((ROOT / "sandbox" / path).read_text())
        for part in name.split("."):
            found = [node for node in tree.body if getattr(node, "name", None) == part]
            assert found, f"{path} has no {name}"
            tree = found[0]


def test_test_files_have_names_of_their_own():
    """Pytest imports them by their names alone, without those of their folders."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)


def test_the_glossary_has_each_word_once():
    words = [row[0] for row in table("Glossary")]
    assert len(words) == len({*words})
    assert {"rule", "driver", "implementation", "chunk", "member", "population", "slice", "series"} <= {*words}
    assert {"study", "state", "experiment", "label"} <= {*words}


ADDITIONS = {
    # what to add: (its file, made of a file that is there by new names, and the lines in the table it goes into)
    "a mixer": (
        "sandbox/models/mixers/x.py",
        ("sandbox/models/mixers/gla.py", {"GLA": "X"}),
        {
            "sandbox/models/mixers/__init__.py": [
                ("\nMIXERS:", "\nfrom sandbox.models.mixers.x import XConfig\n\nMIXERS:"),
                ("] = {\n", '] = {\n    "x": XConfig,\n'),
            ]
        },
    ),
    "an update rule": (
        "sandbox/scans/rules/x.py",
        ("sandbox/scans/rules/wkv4.py", {"WKV4": "X", "wkv4": "x"}),
        {
            "sandbox/scans/__init__.py": [
                ("\nRULES:", "\nfrom sandbox.scans.rules.x import X, x\n\nRULES:"),
                ("        WKV4,\n", "        WKV4,\n        X,\n"),
                ("__all__ = [\n", '__all__ = [\n    "x",\n'),
            ]
        },
    ),
    "a task": (
        "sandbox/tasks/x.py",
        ("sandbox/tasks/ar.py", {"ARConfig": "XConfig"}),
        {
            "sandbox/tasks/__init__.py": [
                ("\nTASKS:", "\nfrom sandbox.tasks.x import XConfig\n\nTASKS:"),
                ("] = {\n", '] = {\n    "x": XConfig,\n'),
            ]
        },
    ),
    "a figure": (
        "sandbox/report/x.py",
        ("sandbox/report/frontier.py", {"def frontier(": "def x_frontier("}),
        {
            "sandbox/report/write.py": [
                ("\nFIGURES:", "\nfrom sandbox.report.x import x_frontier\n\nFIGURES:"),
                (
                    '    "heatmap": lambda',
                    '    "x": lambda data: x_frontier(data.points, data.keys, data.x, data.slice_name),\n'
                    '    "heatmap": lambda',
                ),
            ]
        },
    ),
    "an experiment": (
        "conf/experiment/x.yaml",
        "# @package _global_\n# Does it run?\n# Command: sandbox experiment=x\nstudy: x\n"
        "hydra:\n  mode: MULTIRUN\n  sweeper:\n    grids:\n"
        "      - {mixer: x, mixer.implementation: x, task: x, task.pairs: [2, 3]}\n",
        {"experiments/x/README.md": []},
    ),
    "a driver": (
        "sandbox/scans/drivers/x.py",
        ("sandbox/scans/drivers/recurrent.py", {"run_recurrent": "run_x"}),
        {
            "sandbox/scans/dispatch.py": [
                ("\nDriver =", "\nfrom sandbox.scans.drivers.x import run_x\n\nDriver ="),
                ('    "recurrent": run_recurrent,\n', '    "recurrent": run_recurrent,\n    "x": run_x,\n'),
            ]
        },
    ),
}

PROGRAM = """
from sandbox import scans
from sandbox.models.mixers import MIXERS
from sandbox.scans.check import check_rule
from sandbox.tasks import TASKS

assert scans.__file__.startswith({copy!r})
assert "x" in MIXERS and "x" in TASKS and "x" in scans.IMPLEMENTATIONS and callable(scans.x)
check_rule(scans.RULES["x"], implementations=["recurrent", "x"], lengths=[3])
import sys
from sandbox.cli.main import main

sys.argv += ["experiment=x", "train.steps=2", "train.test_examples=16", "train.validation_examples=16"]
sys.argv += ["output_dir={copy}/outputs"]
main()
"""


@pytest.mark.slow(seconds=40)
def test_what_the_table_says_is_enough_to_add_one_of_each(tmp_path):
    """In a copy of the code, nothing but the files of the table is touched, and what was added runs."""
    for folder in ("sandbox", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    in_page = {row[0]: set(re.findall(r"`([\w/]+\.\w+)`", row[1])) for row in table("To add")}
    assert in_page.keys() == ADDITIONS.keys()
    for what, (path, content, edits) in ADDITIONS.items():
        assert in_page[what] == {path, *edits}
        if not isinstance(content, str):
            source, names = content
            content = (tmp_path / source).read_text()
            for old, new in names.items():
                content = content.replace(old, new)
        (tmp_path / path).write_text(content)
        for edited, replacements in edits.items():
            for old, new in replacements:
                text = (tmp_path / edited).read_text()
                assert text.count(old) == 1, (edited, old)
                (tmp_path / edited).write_text(text.replace(old, new))
    program = PROGRAM.format(copy=str(tmp_path))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = tmp_path / "outputs" / "x" / "report"
    assert (report / "x.png").is_file() or (report / "frontier.png").is_file()
    records = pd.read_csv(report / "records.csv")
    assert set(records["implementation"]) == {"x"}
    assert set(records["mixer.name"]) == {"x"} == set(records["task.name"])
