"""The question and the finding of an experiment, from the README beside its records."""

import pathlib
import re
from typing import NamedTuple

README = "README.md"
IN_SHORT = "**In short.**"
"""How the paragraph with the finding begins."""


_IS_NO_TEXT = re.compile(r"    |!\[|\||```")
"""The beginning of a block of code, a figure or a table."""


class Finding(NamedTuple):
    """A question, which is the heading of the README, and what was found, in Markdown."""

    question: str
    in_short: str
    """A paragraph."""
    method: list[str]
    """The paragraphs after it, up to the next heading: what was run."""


def read_finding(folder: pathlib.Path) -> Finding | None:
    """The finding of the experiment in this folder; None without a README that has one, as before it has run."""
    if not (folder / README).is_file():
        return None
    text = (folder / README).read_text(encoding="utf-8", errors="replace")
    found = re.search(rf"^{re.escape(IN_SHORT)} (.*?)(?:\n\n|\Z)(.*?)(?:^#|\Z)", text, re.MULTILINE | re.DOTALL)
    if not found:
        return None
    method = [part for part in re.split(r"\n\n+", found[2].strip("\n")) if part and not _IS_NO_TEXT.match(part)]
    return Finding(text.splitlines()[0].removeprefix("# "), found[1].strip(), method)


def without_markdown(text: str) -> str:
    """The text without links, code marks and emphasis, on one line."""
    return re.sub(r"[`*]", "", re.sub(r"!?\[(.*?)\]\(.*?\)", r"\1", " ".join(text.split())))
