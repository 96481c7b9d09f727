"""Tables as LaTeX: a booktabs `tabular` to be read with \\input, without float or caption."""

import re

from sandbox.report.intervals import INTERVAL
from sandbox.report.tables import Score, Table

_APART = "\N{ZERO WIDTH NON-JOINER}"

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"\textsuperscript{\textdagger}",
    "–": "--",
    "‡": r"\textsuperscript{\textdaggerdbl}",
    "≥": r"$\geq$",
    "…": r"\dots{}",
    "<": r"\textless{}",  # these three are other characters in LaTeX's default encoding
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the start of a row it would open an option of the rule above
    _APART: "{}",
} | {character: "\\" + character for character in "&%$#_{}"}


def escape(text: str) -> str:
    """The text with the special characters of LaTeX escaped, and letters apart that it would join to another."""
    apart = re.sub(r"([-'`])(?=\1)", rf"\1{_APART}", text)  # -- would be a dash, '' a quote
    return "".join(_SPECIAL.get(character, character) for character in apart)


def to_latex(table: Table) -> str:
    """The table in booktabs style: a series is named once, and the best scores are bold."""
    columns = "l" + "r" * (len(table.heads) - 1 + len(table.slices))
    marks = ", of each task" * table.has_tasks + _DAGGER * table.has_diverged + _WINDOW
    marks += "\n% Double dagger: best learning rate at the end of its grid: try more" * table.has_edges
    lines = [
        "% Needs \\usepackage{booktabs}. Test accuracy in per cent: mean over seeds, half of the",
        f"% {INTERVAL}; bold: the best mean of a column{marks}.",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _row([escape(head) for head in (*table.heads, *table.slices)]),
        "\\midrule",
    ]
    previous = None
    for texts, scores in table.rows:
        series, *others = texts
        if previous not in (None, series):
            lines.append("\\addlinespace")
        cells = ["" if series == previous else series, *others]
        lines.append(_row([*map(escape, cells), *map(_cell, scores)]))
        previous = series
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


_WINDOW = (
    ".\n% Rate window: factor between the largest and the smallest learning rate within 5 points of the best on "
    "validation data"
)
_DAGGER = "; dagger: diverged, score as it stood"


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(score: Score) -> str:
    mean = rf"\textbf{{{score.mean}}}" if score.best else escape(score.mean)
    return mean + (rf" $\pm$ {score.half_width}" if score.half_width else "")
