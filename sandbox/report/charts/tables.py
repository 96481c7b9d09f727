"""The tables behind the charts of a page: configurations, their points, and the seeds of these."""

import dataclasses
import shlex
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sandbox.report.charts.parts import CONFIG, named
from sandbox.report.data import ReportData
from sandbox.report.frontier import DIFFICULTY, by_task
from sandbox.report.intervals import mean_and_interval
from sandbox.report.points import seed_columns, selected_members
from sandbox.report.series import MISSING, TASK, format_value, name_series, short_key
from sandbox.report.slices import order_slices, parse_slice
from sandbox.results import MEASURES, RUN, SHARES, SLICE, STATUS_DIVERGED

SCORES = (*SHARES, "loss")
"""What can be on the y axis."""

_DIGITS = 4  # of scores, which keep the page small


@dataclasses.dataclass(frozen=True)
class ChartTables:
    """What the main chart shows, and what a reader can choose; the first of each choice is shown first."""

    configs: pd.DataFrame
    """A row per configuration: `config`, `label`, costs and numeric keys, names of groups, `settings`, `rate`, the
    selected learning rate, and `implementation` and `command`, of its first run."""
    points: pd.DataFrame
    """A row per configuration and slice: `point`, `config`, `slice`, `task`, `difficulty`, `chance`, `num_seeds`,
    `num_diverged`, and of each score the mean, as `exact`, and the ends of its interval, as `exact low`."""
    seeds: pd.DataFrame
    """A row per seed of a point: `point` and the scores."""
    axes: list[str]
    """The columns for x."""
    scores: list[str]
    """The columns for y."""
    slices: list[str]
    tasks: list[str]
    series: dict[str, str]
    """Column for x -> the column of configurations with the numbers of the series in a chart against it."""
    groups: dict[str, str]
    """Such a column, or a key of the config with several values -> the column with what a legend says of it."""
    shared: str
    """The words that all commands end in, which `command` leaves out."""


def chart_tables(data: ReportData, commands: Mapping[tuple[str, str], str]) -> ChartTables:
    """The tables of the main chart; `commands` has the command of each run by its study and id, where known."""
    configs = _configs(data)
    records = data.records.merge(configs, on=["label", *data.keys])
    members = selected_members(records, "test")
    members = members.drop_duplicates(list(dict.fromkeys([CONFIG, SLICE, *seed_columns(records)])))
    scores = [name for name in dict.fromkeys([data.y, *SCORES]) if members[name].notna().any()] or [data.y]
    points = _points(members, scores)
    choices = [key for key in data.keys if data.records[key].nunique() > 1]
    axes = _axes(data, points, choices)
    columns = [name for name in axes if name != DIFFICULTY and name not in data.keys]
    of_members = members.groupby(CONFIG, sort=False)
    configs = configs.join(of_members[columns].mean(), on=CONFIG)
    best = configs[CONFIG].map(of_members["accuracy"].max())
    named_configs, series, groups = _with_names(configs, data.keys, choices, axes, best)
    runs = records.drop_duplicates([CONFIG, *RUN])
    lines, shared = _without_shared([commands.get((study, run), "") for study, run in runs[RUN].to_numpy()])
    named_configs = named_configs.assign(
        settings=[_settings(row, choices or data.keys) for row in configs.to_dict("records")],
        rate=configs[CONFIG].map(of_members["learning_rate"].first()),
        implementation=configs[CONFIG].map(of_members["implementation"].first()),
        command=pd.Series(lines).groupby(runs[CONFIG].to_numpy()).first().to_numpy(),
    )
    kept = [CONFIG, "label", *(name for name in axes if name != DIFFICULTY), *series.values(), *groups.values()]
    return ChartTables(
        configs=named_configs[list(dict.fromkeys([*kept, "settings", "rate", "implementation", "command"]))],
        points=points,
        seeds=members.merge(points[["point", CONFIG, SLICE]], on=[CONFIG, SLICE])[["point", *scores]].round(
            _DIGITS
        ),
        axes=axes,
        scores=scores,
        slices=list(dict.fromkeys([data.slice_name, *order_slices(points[SLICE])])),
        tasks=list(points["task"].drop_duplicates()),
        series=series,
        groups=groups,
        shared=shared,
    )


def numbered(frame: pd.DataFrame, data: ReportData) -> pd.DataFrame:
    """The table behind a figure, with the number of the configuration of each row."""
    return frame.merge(_configs(data), on=["label", *data.keys], how="left")


def _configs(data: ReportData) -> pd.DataFrame:
    by = ["label", *data.keys]
    configs = data.records.drop_duplicates(by)[by].reset_index(drop=True)
    return configs.assign(**{CONFIG: range(len(configs))})


def _axes(data: ReportData, points: pd.DataFrame, choices: Sequence[str]) -> list[str]:
    """The columns for x: that of the frontier, the costs, those of `choices` that are numbers, the difficulty."""
    numbers = [key for key in choices if _are_numbers(data.records[key])]
    first = DIFFICULTY if data.x == SLICE else data.x
    axes = [first, *MEASURES, *numbers, *([DIFFICULTY] if points[DIFFICULTY].nunique() > 1 else [])]
    return list(dict.fromkeys(axes))


def _are_numbers(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _points(members: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    groups = members.groupby([CONFIG, SLICE], sort=False)
    table = groups.agg(
        task=(TASK, "first") if TASK in members else ("label", lambda _: ""),
        chance=("chance", "mean"),
        num_seeds=("seed", "size"),
        num_diverged=("status", lambda status: (status == STATUS_DIVERGED).sum()),
    )
    for name in scores:
        largest = 1.0 if name in SHARES else np.inf
        ends = np.array([mean_and_interval(values, largest) for _, values in groups[name]]).reshape(-1, 3)
        for column, values in zip((name, f"{name} low", f"{name} high"), ends.T, strict=True):
            table[column] = values.round(_DIGITS)
    table = table.reset_index()
    difficulty = np.array([parse_slice(name)[1] for name in table[SLICE]], float)
    return table.assign(point=range(len(table)), **{DIFFICULTY: difficulty})


def _with_names(
    configs: pd.DataFrame, keys: Sequence[str], choices: Sequence[str], axes: Sequence[str], best: pd.Series
) -> tuple[pd.DataFrame, dict[str, str], dict[str, str]]:
    """The configurations with numbers of their series against each axis and names of groups; see ChartTables."""
    series: dict[str, str] = {}
    names: dict[str, pd.Series] = {}
    for axis in axes:
        task = [TASK] if TASK in keys and axis != TASK else []
        tasks = by_task(configs.assign(**{DIFFICULTY: 0}), task)
        found = pd.concat([name_series(rows, keys, [axis]) for rows in tasks]).reindex(configs.index)
        known = [column for column, others in names.items() if others.equals(found)]
        series[axis] = known[0] if known else f"series {len(names) + 1}"
        names[series[axis]] = found
    names |= {key: configs[key].map(format_value) for key in choices}
    groups = {column: f"by {column}" for column in names}
    numbers = {column: pd.factorize(names[column])[0] for column in {*series.values()}}
    shown = {groups[column]: named(texts, best) for column, texts in names.items()}
    return configs.assign(**numbers, **shown), series, groups


def _without_shared(commands: Sequence[str]) -> tuple[list[str], str]:
    """The commands without the overrides that all have, whose order does not matter; and these."""
    words = [[shlex.quote(word) for word in shlex.split(command)] for command in commands]
    known = [each for each in words if each]
    shared = [word for word in known[0][1:] if all(word in each for each in known)] if len(known) > 1 else []
    return [" ".join(word for word in each if word not in shared) for each in words], " ".join(["", *shared])


def _settings(row: Mapping[Hashable, Any], keys: Sequence[str]) -> str:
    values = {key: format_value(row[key]) for key in keys}
    return ", ".join(f"{short_key(key, keys)}={value}" for key, value in values.items() if value != MISSING)
