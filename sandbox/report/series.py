"""Series, the lines and panels of figures, and their names.

A series is the points of one label that differ in nothing but their size: whatever else a sweep varies is part of
the name, so that no line joins two models in silence.
"""

import itertools
from collections.abc import Iterable, Sequence

import pandas as pd

from sandbox.results import MEASURES
from sandbox.short_names import distinct

TASK = "task.name"

STATE_SIZE = "mixer.d_state"

LOSS = "train.loss"

STEPS = "train.steps"

MISSING = "–"

_ALWAYS_NAMED = (TASK, LOSS, STEPS)
"""Keys that are named wherever a figure has several values of them, though each label may have but one."""

_MOST_TRIED = 5_000  # sets of keys; beyond this the fewest are not searched for


def name_series(points: pd.DataFrame, keys: Sequence[str], along: Sequence[str]) -> pd.Series:
    """The series that each point belongs to in a figure whose axes show the columns `along`.

    The name is the label, the task if there are several, and the fewest `keys` whose values tell the series of the
    label apart: `gla, precision=bfloat16`. Points join to a line only if they differ in whole numbers of the model
    that make it larger along an axis, `mixer.d_state` first. Those of another name are named with their range:
    `gla, d_model=64…256`. A value that is missing, and a switch that is off, are left out of a name.
    """
    names = points["label"].astype(object)
    everywhere = [key for key in _ALWAYS_NAMED if key in keys and key not in along and _varies(points, key)]
    taken: set[str] = set()
    for label, rows in points.groupby("label", sort=False):
        configs = rows.drop_duplicates([*keys, *along])
        apart = [key for key in _keys_apart(configs, keys, along) if key not in everywhere]
        chosen = _fewest(configs, everywhere, apart)
        sizes = [key for key in keys if not key.endswith("d_state") and key not in (*along, *apart, *everywhere)]
        by = [*everywhere, *apart]
        series = rows.groupby(by, sort=False, dropna=False).indices.values() if by else [range(len(rows))]
        for positions in series:
            members = rows.iloc[list(positions)]
            parts = [_ranged(members[key], short_key(key, keys)) for key in sizes if _varies(members, key)]
            name = ", ".join([str(label), *_values(members, [*everywhere, *chosen], keys), *parts])
            names[members.index] = distinct(name, taken)
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


def _values(members: pd.DataFrame, named: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The named keys with their value; of a task the value, of a switch the key where it is on."""
    texts = []
    for key in named:
        value = members[key].iloc[0]
        if key == TASK:
            texts.append(str(value))
        elif pd.api.types.is_bool_dtype(members[key]):
            texts += [short_key(key, keys)] if value else []
        elif format_value(value) != MISSING:
            texts.append(f"{short_key(key, keys)}={format_value(value)}")
    return texts


def _ranged(values: pd.Series, name: str) -> str:
    return f"{name}={format_value(values.min())}…{format_value(values.max())}"


def _varies(table: pd.DataFrame, key: str) -> bool:
    return table[key].nunique(dropna=False) > 1


def _keys_apart(configs: pd.DataFrame, keys: Sequence[str], along: Sequence[str]) -> list[str]:
    """The keys whose values belong to a series, among the configurations of one label."""
    varying = [key for key in keys if key not in along and _varies(configs, key)]
    swept = [found for column in along if (found := _swept_key(configs, column, varying)) is not None]
    others = [key for key in varying if key not in swept and not _is_size(configs, key)]
    apart, position = list(others), [*others, *swept, *(key for key in along if key in keys)]
    moves = len(position) > len(others)
    for key in varying:  # a size that follows the axis, as heads may, moves along the line with it
        if key not in (*swept, *others) and not (moves and _follows(configs, key, position)):
            apart.append(key)
    return varying if configs.duplicated([*along, *apart]).any() else apart


def _follows(configs: pd.DataFrame, key: str, others: Sequence[str]) -> bool:
    return bool((configs.groupby(list(others), dropna=False)[key].nunique() == 1).all())


def _swept_key(configs: pd.DataFrame, column: str, varying: Sequence[str]) -> str | None:
    """The size of the model that moves the configurations along a measured axis."""
    if column not in MEASURES:
        return None
    sizes = [key for key in varying if _is_size(configs, key)]
    moving = [key for key in sizes if configs.groupby(key)[column].first().nunique() > 1]
    own = [key for key in moving if key.endswith("d_state")]
    return own[0] if own else max(moving, key=lambda key: configs[key].nunique(), default=None)


def _is_size(configs: pd.DataFrame, key: str) -> bool:
    """Whether all values are whole numbers of a model, which a line may run along."""
    values = configs[key]
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return key.startswith(("mixer.", "model.")) and numeric and bool((values % 1 == 0).all())


def _fewest(configs: pd.DataFrame, given: Sequence[str], apart: Sequence[str]) -> tuple[str, ...]:
    """The fewest keys that, with the `given`, tell apart all that `apart` does; keys without gaps go first."""
    if not apart:
        return ()
    groups = len(configs.drop_duplicates([*given, *apart]))
    ordered = sorted(apart, key=lambda key: bool(configs[key].isna().any()))
    subsets = itertools.chain.from_iterable(
        itertools.combinations(ordered, size) for size in range(len(ordered) + 1)
    )
    for chosen in itertools.islice(subsets, _MOST_TRIED):
        if len(configs.drop_duplicates([*given, *chosen]) if given or chosen else configs.head(1)) == groups:
            return chosen
    return tuple(apart)
