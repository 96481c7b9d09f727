"""What a figure shows of more series than a reader can tell apart: the best by name, and a word on the others."""

import pandas as pd

MOST_LINES = 14
"""Series with a colour and a name in one pair of axes."""

MOST_PANELS = 30
"""Panels of one figure: ten rows of three."""


MOST_ROWS = 60
"""Rows of a list, or lines of a chart that dims the others."""


def foremost(scores: pd.Series, most: int) -> list[str]:
    """The names of the `most` highest scores, in the order of the index, which holds names of series."""
    kept = set(scores.nlargest(most).index)
    return [name for name in scores.index if name in kept]


def crowd_notes(shown: int, total: int, which: str) -> list[str]:
    """A line for the terminal if not all series are shown: which, where the rest is, and how to see others."""
    if shown == total:
        return []
    rest = "the CSV has all, --only KEY=VALUE chooses others"
    return [f"{shown} of {total} series are {which}; {rest}"]
