"""How wide the window of good learning rates is, and where the best one lies at the end of its grid."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from sandbox.report.points import validation_members

WINDOW = "rate_window"

EDGE_MARK = "‡"

EDGE_NOTE = f"{EDGE_MARK} best learning rate at the end of its grid: try more."

_WITHIN = 0.05
"""Accuracy below the best that still counts as good."""


def rate_windows(records: pd.DataFrame, keys: Sequence[str], slice_name: str) -> pd.DataFrame:
    """The column `rate_window` for each label and value of the `keys`, as text.

    It is the factor between the largest and the smallest learning rate whose mean validation accuracy over seeds
    is within 5 points of the best, without a worse one between it and the best: `10`, or `≥ 10` if the window
    reaches an end of the rates that were tried. Accuracy is over all examples, or over the slice without them.
    """
    by = ["label", *keys]
    members = validation_members(records, slice_name)
    groups = members.groupby([*by, "learning_rate"], sort=False, dropna=False)
    means = groups["accuracy"].mean().reset_index()
    rows = [
        dict(zip(by, values, strict=True)) | {WINDOW: _in_words(window(rates))}
        for values, rates in means.groupby(by, sort=False, dropna=False)
    ]
    return pd.DataFrame(rows, columns=[*by, WINDOW])


class Window(NamedTuple):
    """A range of learning rates."""

    lowest: float
    highest: float
    reaches_end: bool
    """Whether it ends where the rates that were tried end, so that it may be wider."""


def window(means: pd.DataFrame) -> Window | None:
    """The learning rates around the best whose `accuracy` is within 5 points of its, without a worse one between.

    `means` has a row per `learning_rate`. None if no rate has an accuracy.
    """
    means = means.sort_values("learning_rate")
    rates, accuracies = means["learning_rate"].to_numpy(float), means["accuracy"].to_numpy(float)
    if not np.isfinite(accuracies).any():
        return None
    best = int(np.nanargmax(accuracies))
    good = accuracies >= accuracies[best] - _WITHIN
    first, last = best, best
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(rates) - 1 and good[last + 1]:
        last += 1
    return Window(float(rates[first]), float(rates[last]), first == 0 or last == len(rates) - 1)


def _in_words(found: Window | None) -> str:
    if found is None:
        return ""
    return f"{'≥ ' if found.reaches_end else ''}{found.highest / found.lowest:.3g}"
