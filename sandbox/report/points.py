"""Points and series: the records of members, averaged over seeds, and the names of the lines that they form.

A point is one configuration on one slice. Runs that differ only in keys named `seed` are pooled into one point,
and a seed that several of them share counts once. A series is a line or panel of a figure: the points of one
label, and of one value of each key that is needed to tell configurations apart (see `name_series`).
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from sandbox.errors import InputError
from sandbox.renamed import renamed
from sandbox.report.intervals import mean_and_interval
from sandbox.results import MEASURES, RUN, STATUS_DIVERGED, STATUS_FAILED

COUNTS = ["num_seeds", "num_diverged", "num_unscored"]

STATE_SIZE = "mixer.d_state"

TASK = "task.name"

MISSING = "–"


def varying_keys(records: pd.DataFrame) -> list[str]:
    """The columns that tell configurations apart: those of the study and the config with several values."""
    candidates = ["study", *config_keys(records)]
    return [
        key
        for key in candidates
        if key.split(".")[-1] not in ("seed", "label") and records[key].nunique(dropna=False) > 1
    ]


def config_keys(records: pd.DataFrame) -> list[str]:
    """The columns that hold options of the mixer, the task, the model and the training.

    Others, such as `output_dir` and `jobs`, do not change what is learned: they tell no configurations apart.
    """
    return [name for name in map(str, records.columns) if "." in name and not name.startswith("versions.")]


def check_axis(records: pd.DataFrame, column: str, option: str) -> None:
    """Raises InputError if `column` cannot be a numeric axis; `option` is the option that named it."""
    usable = [
        name
        for name in (*MEASURES, *config_keys(records))
        if pd.api.types.is_numeric_dtype(records[name]) and not pd.api.types.is_bool_dtype(records[name])
    ]
    if column not in usable:
        varying = [name for name in usable if name in MEASURES or records[name].nunique() > 1]
        problem = "not a column of numbers per run" if column in records else "no such column"
        raise InputError(f"{option} {column!r}: {problem}{renamed(column)}; there are {', '.join(varying)}")


def selected_members(records: pd.DataFrame, split: str) -> pd.DataFrame:
    """The records of one split at the learning rate that validation chose."""
    return records[records["selected"].astype(bool) & (records["split"] == split)]


def make_points(records: pd.DataFrame, measures: Iterable[str] = MEASURES) -> pd.DataFrame:
    """The points, in order of first appearance: test accuracy at the selected learning rate, over seeds.

    Columns: `label`, the keys that vary, `slice`, the measures (averaged if they differ between the runs of a
    point, as seconds do), `accuracy` with `low` and `high` (0 to 1, see `mean_and_interval`), `num_seeds`, and
    among these `num_diverged` (their accuracy is included) and `num_unscored` (they have no accuracy).
    """
    keys = varying_keys(records)
    measures = [name for name in dict.fromkeys(measures) if name not in keys]
    rows = []
    # The seeds of members and of what else is drawn; config.seed is only the first of a run's seeds.
    seeds = [key for key in map(str, records) if key.split(".")[-1] == "seed" and key != "config.seed"]
    by = ["label", *keys, "slice"]
    columns = [*by, *measures, "accuracy", "low", "high", *COUNTS]
    for values, members in selected_members(records, "test").groupby(by, sort=False, dropna=False):
        members = members.drop_duplicates(seeds)
        mean, low, high = mean_and_interval(members["accuracy"])
        rows.append(
            dict(zip(by, values, strict=True))
            | {name: _typical(members[name]) for name in measures}
            | {
                "accuracy": mean,
                "low": low,
                "high": high,
                "num_seeds": len(members),
                "num_diverged": int((members["status"] == STATUS_DIVERGED).sum()),
                "num_unscored": int(members["accuracy"].isna().sum()),
            }
        )
    return pd.DataFrame(rows, columns=columns)


def failures(records: pd.DataFrame) -> pd.DataFrame:
    """One table row per failed run: study, label, run_id, and the first line of its status."""
    failed = records[records["status"].str.startswith(STATUS_FAILED)]
    failed = failed.drop_duplicates(RUN)[["study", "label", "run_id", "status"]]
    return failed.assign(status=[status.splitlines()[0] for status in failed["status"]])


def runs_not_shown(records: pd.DataFrame) -> int:
    """The number of runs without a selected record on the test split, failed runs included: they form no point."""
    return len(records.drop_duplicates(RUN)) - len(selected_members(records, "test").drop_duplicates(RUN))


def size_column(records: pd.DataFrame) -> str:
    """The column of model sizes: `mixer.d_state` if every record has it and it varies, else `state_bytes`."""
    if STATE_SIZE in records and pd.api.types.is_numeric_dtype(records[STATE_SIZE]):
        sizes = records[STATE_SIZE]
        if sizes.notna().all() and sizes.nunique() > 1:
            return STATE_SIZE
    return "state_bytes"


def name_series(points: pd.DataFrame, keys: Sequence[str], along: Sequence[str]) -> pd.Series:
    """The series that each point belongs to in a figure whose axes show the columns `along`.

    The name is the label, and the task if the label has several. If several configurations share a position on the
    axes, the values of the keys that tell them apart follow: `gla, d_model=64` and `gla, d_model=128` are two
    lines, not a zigzag.
    """
    names = points["label"].astype(object)
    for label, rows in points.groupby("label", sort=False):
        configs = rows.drop_duplicates(list(keys)) if keys else rows.head(1)
        swept = [_swept_key(configs, column, keys) for column in along]
        tasks = [TASK] if TASK in keys and TASK not in along and configs[TASK].nunique() > 1 else []
        apart = _keys_apart(configs, [*swept, *tasks], [key for key in keys if key not in swept])
        if configs.duplicated([*along, *tasks, *apart]).any():  # the swept key does not move the axis
            apart = _keys_apart(configs, [*along, *tasks], [key for key in keys if key not in along])
        for index in rows.index if tasks or apart else ():
            task = [str(points.at[index, key]) for key in tasks]
            values = {short_key(key, keys): format_value(points.at[index, key]) for key in apart}
            shown = (f"{key}={value}" for key, value in values.items() if not task or value != MISSING)
            names[index] = ", ".join([str(label), *task, *shown])
    return names


def series_names(table: pd.DataFrame) -> list[str]:
    """The names in the column `series`, each once, in order of first appearance."""
    return list(dict.fromkeys(table["series"]))


def sort_by_series(table: pd.DataFrame, names: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """The table sorted by its column `series`, in the order of `names`, and then by the columns `by`."""
    rank = {name: number for number, name in enumerate(names)}
    return table.sort_values(
        ["series", *by], key=lambda column: column.map(rank) if column.name == "series" else column, kind="stable"
    )


def short_key(key: str, keys: Iterable[str]) -> str:
    """The last part of a config key, or all of it if another key ends in the same word."""
    last = key.split(".")[-1]
    return key if sum(other.split(".")[-1] == last for other in keys) > 1 else last


def format_value(value: object) -> str:
    """A config value as text: integers without a decimal point, a missing value as a dash."""
    if isinstance(value, float):
        return MISSING if value != value else f"{value:g}"
    return str(value)


def _swept_key(configs: pd.DataFrame, column: str, keys: Sequence[str]) -> str:
    """The config key that a sweep changed to move the configurations along a measured axis."""
    if column in keys:
        return column
    varying = [key for key in keys if configs[key].nunique(dropna=False) > 1]
    sizes = [key for key in varying if key.endswith("d_state")]
    numeric = [key for key in varying if pd.api.types.is_numeric_dtype(configs[key])]
    moving = [key for key in numeric if configs.groupby(key, dropna=False)[column].first().nunique() > 1]
    if sizes:
        return sizes[0]
    return max(moving, key=lambda key: configs[key].nunique(), default=column)


def _keys_apart(configs: pd.DataFrame, axes: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Keys, chosen greedily in order, that tell configurations with equal `axes` apart."""
    chosen: list[str] = []
    groups = len(configs.drop_duplicates(list(axes)))
    for key in candidates:
        more = len(configs.drop_duplicates([*axes, *chosen, key]))
        if more > groups:
            chosen.append(key)
            groups = more
    return chosen


def _typical(values: pd.Series) -> object:
    return values.iloc[0] if values.nunique(dropna=False) == 1 else values.mean()
