"""The question and the finding of an experiment, from the README beside its records."""

import pathlib
import re
from typing import NamedTuple

README = "README.md"
IN_SHORT = "**In short.**"
"""How the paragraph with the finding begins."""


class Finding(NamedTuple):
    """A question, which is the heading of the README, and what was found, a paragraph of Markdown."""

    question: str
    in_short: str


def read_finding(folder: pathlib.Path) -> Finding | None:
    """The finding of the experiment in this folder; None without a README that has one, as before it has run."""
    if not (folder / README).is_file():
        return None
    text = (folder / README).read_text(encoding="utf-8", errors="replace")
    found = re.search(rf"^{re.escape(IN_SHORT)} (.*?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return Finding(text.splitlines()[0].removeprefix("# "), found[1].strip()) if found else None


def without_markdown(text: str) -> str:
    """The text without links, code marks and emphasis, on one line."""
    return re.sub(r"[`*]", "", re.sub(r"!?\[(.*?)\]\(.*?\)", r"\1", " ".join(text.split())))
