"""The data of a report: what its figures and tables are drawn from, and what they show of it."""

import dataclasses
import math
import os
from collections.abc import Sequence

import pandas as pd

from sandbox.errors import InputError
from sandbox.renamed import renamed
from sandbox.report.points import check_axis, config_keys, in_order, make_points, size_column, varying_keys
from sandbox.report.series import TASK, format_value
from sandbox.report.slices import choose_slice
from sandbox.results import MEASURES, SHARES, SLICE
from sandbox.tables import collect, collect_curves


@dataclasses.dataclass(frozen=True)
class ReportData:
    """Records and evaluations as they were read, the points made of them, and the columns and slice to show."""

    records: pd.DataFrame
    evaluations: pd.DataFrame
    points: pd.DataFrame
    """See `make_points`."""
    keys: list[str]
    """The columns that tell configurations apart."""
    x: str
    """The column on the x axis of the frontier, or `slice`."""
    y: str
    """The column on its y axis."""
    frontier_points: pd.DataFrame
    """The points, with that column as their `accuracy`."""
    size: str
    """The column of model sizes."""
    columns: str
    """The columns of the heatmap: the slice or a key of the config."""
    slice_name: str
    """The slice that figures of a single slice show."""


def read_data(
    source: str | os.PathLike[str],
    x: str,
    slice: str | None,
    rows: str | None,
    columns: str,
    only: Sequence[str] = (),
    y: str = "accuracy",
) -> ReportData:
    """Reads the runs or the table at `source` and checks the options, which `write_report` describes."""
    return report_data(collect(source), collect_curves(source), x, slice, rows, columns, only, y)


def report_data(
    records: pd.DataFrame,
    evaluations: pd.DataFrame,
    x: str,
    slice: str | None,
    rows: str | None,
    columns: str,
    only: Sequence[str] = (),
    y: str = "accuracy",
) -> ReportData:
    """What a report shows of these tables, as `collect` and `collect_curves` of `sandbox.tables` make them."""
    records = _chosen(records, only)
    if x != SLICE:
        check_axis(records, x, "--x")
    if y not in SHARES:
        raise InputError(f"--y {y!r}: must be one of {', '.join(SHARES)}")
    if rows is not None:
        check_axis(records, rows, "--rows")
    keys = varying_keys(records)
    records = in_order(records, keys)
    if columns != SLICE and columns not in config_keys(records):
        choices = [SLICE, *(key for key in keys if key in config_keys(records))]
        raise InputError(f"--columns {columns!r}: no such key{renamed(columns)}; there are {', '.join(choices)}")
    asked = [name for name in (x, rows, columns) if name is not None and name != SLICE]
    points = frontier_points = make_points(records, [*MEASURES, *asked])
    if y != "accuracy":  # whose chance is not that of other shares
        other = records.assign(accuracy=records[y], chance=math.nan)
        frontier_points = make_points(other, [*MEASURES, *asked])
    return ReportData(
        records=records,
        evaluations=evaluations,
        points=points,
        frontier_points=frontier_points,
        keys=keys,
        x=x,
        y=y,
        size=rows or size_column(records),
        columns=columns,
        slice_name=_choose_slice(records, slice, several_tasks=TASK in keys),
    )


def _chosen(records: pd.DataFrame, only: Sequence[str]) -> pd.DataFrame:
    """The records that have one of the given values of each key; several of one key are alternatives."""
    wanted: dict[str, list[str]] = {}
    for text in only:
        key, _, value = text.partition("=")
        wanted.setdefault(key, []).append(value)
    for key, values in wanted.items():
        if key not in (choices := list(dict.fromkeys(["label", "study", *varying_keys(records)]))):
            raise InputError(f"--only {key!r}: no key that varies{renamed(key)}; there are {', '.join(choices)}")
        texts = records[key].map(format_value)
        if absent := [value for value in values if value not in set(texts)]:
            there = ", ".join(texts.drop_duplicates())
            raise InputError(f"--only {key}={absent[0]}: no run has this value; there are {there}")
        records = records[texts.isin(values)]
    return records.reset_index(drop=True)


def _choose_slice(records: pd.DataFrame, wanted: str | None, *, several_tasks: bool) -> str:
    """The wanted slice; if none is given, the hardest, or with several tasks the hardest that every run has."""
    tested = records[records["split"] == "test"]
    scored = records if tested.empty else tested
    if several_tasks and wanted is None:
        runs = scored.groupby("slice", sort=False)["run_id"].nunique()
        return choose_slice(runs[runs == scored["run_id"].nunique()].index)
    return choose_slice(scored["slice"], wanted)
