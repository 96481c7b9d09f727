"""Points: the records of members, averaged over seeds.

A point is one configuration on one slice. Runs that differ only in keys named `seed` are pooled into one point,
and a seed that several of them share counts once.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from sandbox.errors import InputError
from sandbox.renamed import renamed
from sandbox.report.intervals import mean_and_interval
from sandbox.report.series import STATE_SIZE
from sandbox.results import ALL_EXAMPLES, MEASURES, MEMBER, RUN, STATUS_DIVERGED, STATUS_FAILED

COUNTS = ["num_seeds", "num_diverged", "num_unscored"]


RATES = "train.learning_rates"
"""The key of the rates that were tried, of which validation chose one."""


def varying_keys(records: pd.DataFrame) -> list[str]:
    """The columns that tell configurations apart: those of the study and the config with several values.

    A model is the same where more rates were tried, so `RATES` are among them only if two configurations differ in
    nothing else.
    """
    candidates = ["study", *config_keys(records)]
    keys = [
        key
        for key in candidates
        if key.split(".")[-1] not in ("seed", "label") and records[key].nunique(dropna=False) > 1
    ]
    if RATES not in keys:
        return keys
    others = ["label", *(key for key in keys if key != RATES)]
    told_apart = len(records[others].drop_duplicates()) == len(records[["label", *keys]].drop_duplicates())
    return others[1:] if told_apart else keys


def in_order(records: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The records by label and size as they came, and within these by the values of the `keys`, smallest first.

    Where only the keys differ, tables of records are in the order of run ids, which says nothing.
    """
    place = records.groupby(["label", "state_bytes"], sort=False).ngroup()
    values = {
        key: records[key] if pd.api.types.is_numeric_dtype(records[key]) else records[key].astype(str)
        for key in keys
    }
    order = pd.DataFrame({"": place, **values}).sort_values(["", *keys], kind="stable", na_position="first")
    return records.loc[order.index].reset_index(drop=True)


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


def validation_members(records: pd.DataFrame, slice_name: str) -> pd.DataFrame:
    """The records of validation data over all examples, or over the slice if they have none over all."""
    validation = records[records["split"] == "validation"]
    overall = ALL_EXAMPLES if (validation["slice"] == ALL_EXAMPLES).any() else slice_name
    return validation[validation["slice"] == overall]


def seed_columns(records: pd.DataFrame) -> list[str]:
    """The seeds of members and of what else is drawn; `config.seed` is only the first of a run's seeds."""
    return [key for key in map(str, records) if key.split(".")[-1] == "seed" and key != "config.seed"]


def make_points(records: pd.DataFrame, measures: Iterable[str] = MEASURES) -> pd.DataFrame:
    """The points, in order of first appearance: test accuracy at the selected learning rate, over seeds.

    Columns: `label`, the keys that vary, `slice`, the measures (averaged if they differ between the runs of a
    point, as seconds do), `accuracy` with `low` and `high` (0 to 1, see `mean_and_interval`), `chance` and `edge`
    (see `Record`), `num_seeds`, and among these `num_diverged` (their accuracy is included) and `num_unscored`
    (they have no accuracy).
    """
    keys = varying_keys(records)
    measures = [name for name in dict.fromkeys(measures) if name not in keys]
    rows = []
    seeds = seed_columns(records)
    by = ["label", *keys, "slice"]
    columns = [*by, *measures, "accuracy", "low", "high", "chance", "edge", *COUNTS]
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
                "chance": members["chance"].mean(),
                "edge": max(members["edge"]),
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


def diverged_runs(records: pd.DataFrame) -> pd.DataFrame:
    """One table row per run with diverged members: study, run_id, label, their number and learning rates."""
    members = records[records["status"] == STATUS_DIVERGED].drop_duplicates(MEMBER)
    rates = members["learning_rate"].map("{:g}".format)
    runs = members.assign(rates=rates).groupby([*RUN, "label"], sort=False)
    return runs.agg(
        members=("rates", "size"), rates=("rates", lambda texts: ", ".join(dict.fromkeys(texts)))
    ).reset_index()


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


def _typical(values: pd.Series) -> object:
    return values.iloc[0] if values.nunique(dropna=False) == 1 else values.mean()
