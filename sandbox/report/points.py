"""From the rows of members to points: one per configuration and slice, over its seeds.

A point is a configuration up to its seed: runs that differ in nothing but a key named `seed` are pooled, and
runs that differ in anything else never are. A seed that several of the pooled runs have counts once.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from sandbox.errors import InputError
from sandbox.report.intervals import mean_and_interval
from sandbox.results import FIELDS, STATUS_DIVERGED, STATUS_FAILED

MEASURES = (
    "state_bytes",
    "parameters",
    "training_flops_per_token",
    "decode_flops_per_token",
    "seconds",
)
"""Numbers of a run, not of a member: an axis may show them."""

COUNTS = ["num_seeds", "num_diverged", "num_unscored"]

STATE_SIZE = "mixer.d_state"

TASK = "task.name"

MISSING = "–"


def varying_keys(records: pd.DataFrame) -> list[str]:
    """The columns that tell configurations apart: the study and each config key with several values."""
    candidates = ["study", *config_keys(records)]
    return [
        key
        for key in candidates
        if key.split(".")[-1] not in ("seed", "label") and records[key].nunique(dropna=False) > 1
    ]


def config_keys(records: pd.DataFrame) -> list[str]:
    """The columns that came from the config."""
    return [name for name in records.columns if name not in FIELDS and not name.startswith("versions.")]


def check_axis(records: pd.DataFrame, column: str, option: str) -> None:
    """Raises InputError where `column` cannot be an axis of numbers; `option` is where the user named it."""
    usable = [
        name
        for name in (*MEASURES, *config_keys(records))
        if pd.api.types.is_numeric_dtype(records[name]) and not pd.api.types.is_bool_dtype(records[name])
    ]
    if column not in usable:
        varying = [name for name in usable if name in MEASURES or records[name].nunique() > 1]
        problem = "not a column of numbers per run" if column in records else "no such column"
        raise InputError(f"{option} {column!r}: {problem}; there are {', '.join(varying)}")


def selected_members(records: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of one split with the learning rate that validation chose."""
    return records[records["selected"].astype(bool) & (records["split"] == split)]


def make_points(records: pd.DataFrame, measures: Iterable[str] = MEASURES) -> pd.DataFrame:
    """One row per configuration and slice: test accuracy at the selected learning rate, over the seeds.

    Columns: `label`, the keys that vary, `slice`, the measures (averaged where runs of a point differ, as
    their seconds do), `accuracy` with `low` and `high` (see `mean_and_interval`; 0 to 1), `num_seeds`, and
    of these `num_diverged` (their accuracy counts as it is) and `num_unscored` (no accuracy to count).
    In order of first appearance.
    """
    keys = varying_keys(records)
    measures = [name for name in dict.fromkeys(measures) if name not in keys]
    rows = []
    # Of the members, and of what is drawn beside; the one in the config is where a run's seeds begin.
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
    """One row per failed run: study, label, run_id and its status with the first line of the reason."""
    failed = records[records["status"].str.startswith(STATUS_FAILED)]
    failed = failed.drop_duplicates(["study", "run_id"])[["study", "label", "run_id", "status"]]
    return failed.assign(status=[status.splitlines()[0] for status in failed["status"]])


def runs_not_shown(records: pd.DataFrame) -> int:
    """How many runs have no selected row on the test split, so that they make no point; failed ones count."""
    run = ["study", "run_id"]
    return len(records.drop_duplicates(run)) - len(selected_members(records, "test").drop_duplicates(run))


def size_column(records: pd.DataFrame) -> str:
    """The column that sizes models: `mixer.d_state` where all have one and it varies, else `state_bytes`."""
    if STATE_SIZE in records and pd.api.types.is_numeric_dtype(records[STATE_SIZE]):
        sizes = records[STATE_SIZE]
        if sizes.notna().all() and sizes.nunique() > 1:
            return STATE_SIZE
    return "state_bytes"


def name_series(points: pd.DataFrame, keys: Sequence[str], along: Sequence[str]) -> pd.Series:
    """The name of the line or panel that each row belongs to, when `along` are its axes.

    It is the label, with the task where a label has several. Where there are several configurations at the same
    place of the axes, the values of the keys that tell them apart follow: `gla, d_model=64` and
    `gla, d_model=128` are two lines, not a zigzag.
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


def short_key(key: str, keys: Iterable[str]) -> str:
    """The last part of a config key, or all of it where another key ends in the same word."""
    last = key.split(".")[-1]
    return key if sum(other.split(".")[-1] == last for other in keys) > 1 else last


def format_value(value: object) -> str:
    """A config value as text: whole numbers without a point, a missing value as a dash."""
    if isinstance(value, float):
        return MISSING if value != value else f"{value:g}"
    return str(value)


def _swept_key(configs: pd.DataFrame, column: str, keys: Sequence[str]) -> str:
    """The config key behind a measured axis: the one that a sweep over sizes changed for this label."""
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
    """The fewest keys, taken greedily in order, that make configurations of equal `axes` distinct."""
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
