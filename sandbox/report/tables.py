"""The table of a report: one table row per configuration, one score per slice."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sandbox.report.points import COUNTS
from sandbox.report.rates import EDGE_MARK, WINDOW
from sandbox.report.series import (
    STATE_SIZE,
    TASK,
    format_value,
    name_series,
    series_names,
    sort_by_series,
)
from sandbox.report.slices import order_slices
from sandbox.report.style import format_bytes
from sandbox.short_names import distinct

CHANCE_NAME = "chance"

_NUMBERS = {"accuracy": "", "low": " low", "high": " high"}


@dataclasses.dataclass(frozen=True)
class Score:
    """A cell: mean in per cent, half of its interval (empty for one seed), whether it is the best."""

    mean: str
    half_width: str
    best: bool


@dataclasses.dataclass(frozen=True)
class Table:
    """A table as it is printed: each of `rows` has a text per entry of `heads` and a score per slice."""

    heads: list[str]
    num_names: int
    """How many of the heads, from the first on, say which model a row is."""
    slices: list[str]
    rows: list[tuple[list[str], list[Score]]]
    has_diverged: bool
    has_tasks: bool
    """Whether there are several tasks."""
    has_edges: bool
    """Whether a selected learning rate lies at the end of its grid."""


def wide_table(points: pd.DataFrame, windows: pd.DataFrame, keys: Sequence[str], size: str) -> pd.DataFrame:
    """One table row per series and size, in this order; for each slice the mean accuracy, `low` and `high`.

    Accuracies are between 0 and 1; a slice that a configuration was not scored on is empty. `windows` are those of
    `rate_windows`; `edge` is that of `Record`. The last rows, of the label `chance`, have the accuracy of the best
    blind guess where it is known.
    """
    points = points.assign(series=name_series(points, keys, [size]))
    slices = order_slices(points["slice"])
    identity = list(dict.fromkeys(["label", "series", *keys, size, "state_bytes", "parameters"]))
    rows = []
    for _, scores in points.groupby(["label", *keys], sort=False, dropna=False):
        row = {name: scores[name].iloc[0] for name in identity}
        row |= {name: scores[name].max() for name in ("edge", *COUNTS)}
        for name in slices:
            of_slice = scores[scores["slice"] == name]
            for column, suffix in _NUMBERS.items():
                row[name + suffix] = of_slice[column].iloc[0] if len(of_slice) else np.nan
        rows.append(row)
    scored = [name + suffix for name in slices for suffix in _NUMBERS.values()]
    table = pd.DataFrame(rows, columns=[*identity, "edge", *COUNTS, *scored])
    table = table.merge(windows, how="left", on=["label", *keys]).fillna({WINDOW: ""})
    table = sort_by_series(table, series_names(table), [size])[[*identity, WINDOW, "edge", *COUNTS, *scored]]
    chance = _chance_rows(points, [TASK] if TASK in keys else [])
    whole = dict.fromkeys(table.select_dtypes("integer"), "Int64")  # which may be missing, unlike numpy's
    return pd.concat([table.astype(whole), chance], ignore_index=True)


def _chance_rows(points: pd.DataFrame, task: Sequence[str]) -> pd.DataFrame:
    """One table row per task and set of chances by slice."""
    known = points[points["chance"].notna()].drop_duplicates([*task, "slice", "chance"])
    number = known.groupby([*task, "slice"]).cumcount()
    wide = known.assign(number=number).pivot(index=[*task, "number"], columns="slice", values="chance")
    wide = wide.reset_index()
    taken: set[str] = set()
    tasks = wide[TASK] if task else [None] * len(wide)
    names = [distinct(CHANCE_NAME if name is None else f"{CHANCE_NAME}, {name}", taken) for name in tasks]
    return wide.drop(columns="number").assign(label=CHANCE_NAME, series=names)


def printed_table(table: pd.DataFrame, slices: Sequence[str]) -> Table:
    """The wide table as text: per cent with one decimal, mean and half the width of its interval.

    The best means of each task are marked; means that print the same are equally good. A dagger follows the number
    of seeds that diverged, a double one the window of learning rates whose best is at the end of its grid.
    """
    sized = STATE_SIZE in table and table[STATE_SIZE].notna().any()
    names = ["Series", *(["d_state"] if sized else [])]
    heads = [*names, "State", "Seeds", "Rate window"]
    models = table["num_seeds"].notna()
    tasks = table[TASK] if TASK in table else pd.Series("", table.index)
    highest = table[models].groupby(tasks[models])[list(slices)].max()
    best = {(task, name): round(100 * highest.loc[task, name], 1) for task in highest.index for name in slices}
    rows = []
    for task, model, row in zip(tasks, models, table.to_dict("records"), strict=True):
        if not model:
            blanks = [""] * (len(heads) - 1)
            rows.append(([str(row["series"]), *blanks], [_score(row, name, np.inf) for name in slices]))
            continue
        texts = [
            str(row["series"]),
            *([format_value(row[STATE_SIZE])] if sized else []),
            format_bytes(row["state_bytes"]),
            _seeds(row),
            f"{row[WINDOW]}{EDGE_MARK if row['edge'] else ''}",
        ]
        rows.append((texts, [_score(row, name, best[task, name]) for name in slices]))
    return Table(
        heads,
        len(names),
        list(slices),
        rows,
        bool((table["num_diverged"] > 0).any()),
        TASK in table,
        bool(table.loc[models, "edge"].any()),
    )


def _seeds(row: dict) -> str:
    notes = [f"{row['num_diverged']}†"] if row["num_diverged"] else []
    notes += [f"{row['num_unscored']} without a score"] if row["num_unscored"] else []
    return f"{row['num_seeds']} ({', '.join(notes)})" if notes else str(row["num_seeds"])


def _score(row: dict, name: str, best: float) -> Score:
    mean, low, high = (100 * row[name + suffix] for suffix in _NUMBERS.values())
    if np.isnan(mean):
        return Score("–", "", False)
    half_width = "" if np.isnan(low) else f"{max(mean - low, high - mean):.1f}"
    return Score(f"{mean:.1f}", half_width, bool(round(mean, 1) == best))
