"""`docs/architecture.md` is true: its picture, its paths and names, and its table of what to touch."""

import ast
import pathlib
import re
import tomllib

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
        assert any((ROOT / folder / path).exists() for folder in ("", "sandbox", "docs", "sandbox/models")), path
    for path, name in names:
        tree = ast.parse((ROOT / "sandbox" / path).read_text())
        for part in name.split("."):
            found = [node for node in tree.body if getattr(node, "name", None) == part]
            assert found, f"{path} has no {name}"
            tree = found[0]


def test_the_glossary_has_each_word_once():
    words = [row[0] for row in table("Glossary")]
    assert len(words) == len({*words})
    assert {"rule", "driver", "implementation", "chunk", "member", "population", "slice", "series"} <= {*words}
    assert {"study", "state", "experiment", "label"} <= {*words}
