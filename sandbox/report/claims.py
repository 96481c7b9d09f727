"""Claims of papers beside our results: what was printed, what we measured, and whether the two agree.

A file `claims.yaml` beside the records of an experiment is a table with the `command` that made the records and a
list `claims`. Each has

    claim: Attention answers 4 pairs at width 64.     # one sentence
    source: Arora et al. 2023 (arXiv:2312.04927), figure 2
    printed: 1.00                                     # as the source has it, a number or words
    of: {label: softmax, slice: pairs=4}              # the row that answers it
    at_least: 0.98                                    # the values at which it agrees; or at_most, more_than, both

and, where they are needed: `ahead_of`, the keys in which another row differs, from which the row is measured;
`column`, what is compared (`accuracy` if there is none); `file`, another table beside the records, of one row per
value, with the ends of its interval in the columns `low` and `high`, or those that `interval` names; `note`, why
the two disagree or how the settings differ. A claim that a model fails needs one that has learned what it was
trained on: `learned` has the keys in which another row of it differs, and the mean that is wanted there, such as
`{slice: length=40, at_least: 0.9}`. A claim whose setting was not run has the reason as `not_reached`, in place of
a row.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import yaml

from sandbox.errors import InputError, did_you_mean, yaml_error_line
from sandbox.option_types import from_plain
from sandbox.report.intervals import half_width, mean_and_interval
from sandbox.report.points import seed_columns, selected_members, varying_keys
from sandbox.report.series import format_value
from sandbox.results import ALL_EXAMPLES, RECORDS, RUN, SHARES, SLICE
from sandbox.tables import collect

CLAIMS = "claims.yaml"

AGREES, DISAGREES, NOT_SETTLED, NOT_REACHED = "agrees", "disagrees", "not settled", "not reached at this scale"
"""Verdicts: the whole interval is where the claim wants it, none of it, or a part, or the model did not learn; or
the setting was not run."""

AT_LEAST = "at_least"
UNLEARNED = " (it did not learn what it was trained on)"

_ROUNDING = 1e-9  # of means of floats

COLUMNS = ["experiment", "claim", "source", "printed", "wanted", "ours", "low", "high", "num_seeds", "verdict"]
COLUMNS += ["note", "command"]
"""The columns of a table of claims."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, and where its answer stands; see the module."""

    claim: str
    source: str
    printed: Any
    of: dict = dataclasses.field(default_factory=dict)
    ahead_of: dict | None = None
    learned: dict | None = None
    at_least: float = -np.inf
    at_most: float = np.inf
    more_than: float = -np.inf
    column: str = "accuracy"
    file: str = RECORDS
    interval: list[str] = dataclasses.field(default_factory=lambda: ["low", "high"])
    note: str = ""
    not_reached: str = ""

    def __post_init__(self) -> None:
        if bool(self.not_reached) == bool(self.of):
            raise InputError(f"claim {self.claim!r}: give either `of` or `not_reached`")
        lowest = max(self.at_least, self.more_than)
        if self.of and not (lowest > -np.inf or self.at_most < np.inf):
            raise InputError(f"claim {self.claim!r}: give numbers for `at_least`, `more_than` or `at_most`")
        if not lowest <= self.at_most:
            raise InputError(f"claim {self.claim!r}: no value is at least {lowest:g} and at most {self.at_most:g}")
        if len(self.interval) != 2:
            raise InputError(f"claim {self.claim!r}: `interval` names two columns")
        if self.ahead_of is not None and (not self.ahead_of or self.file != RECORDS):
            raise InputError(f"claim {self.claim!r}: `ahead_of` names keys of other runs in {RECORDS}")
        mean = None if self.learned is None else self.learned.get(AT_LEAST)
        if self.learned is not None and (not isinstance(mean, int | float) or self.file != RECORDS):
            raise InputError(f"claim {self.claim!r}: `learned` names keys in {RECORDS} and a number as {AT_LEAST}")

    @property
    def wanted(self) -> str:
        """The values at which it agrees, in words."""
        if self.not_reached:
            return ""
        what = f"{self.column}, difference" if self.ahead_of else self.column
        low = f"{self.at_least:g} ≤ " if self.at_least > -np.inf else ""
        low += f"{self.more_than:g} < " if self.more_than > -np.inf else ""
        high = f" ≤ {self.at_most:g}" if self.at_most < np.inf else ""
        return f"{low}{what}{high}{self._condition}"

    @property
    def _condition(self) -> str:
        if not self.learned:
            return ""
        return f", if {self.learned[AT_LEAST]:g} ≤ that of {_in_words(self.learned_keys)}"

    @property
    def learned_keys(self) -> dict:
        """The keys in which the row differs where the model must have learned."""
        return {key: value for key, value in (self.learned or {}).items() if key != AT_LEAST}


def read_claims(path: str | os.PathLike[str]) -> tuple[str, list[Claim]]:
    """The command and the claims of a file; raises InputError for one that is not as the module says."""
    try:
        content = yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML ({yaml_error_line(error)})") from error
    if not isinstance(content, dict) or content.keys() != {"command", "claims"}:
        raise InputError(f"{path}: must have the keys command and claims")
    if not isinstance(content["claims"], list):
        raise InputError(f"{path}: claims must be a list")
    try:
        return str(content["command"]), [_claim(f"claim {i}", each) for i, each in enumerate(content["claims"], 1)]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _claim(name: str, options: Any) -> Claim:
    types = {field.name: field.type for field in dataclasses.fields(Claim)}
    if not isinstance(options, dict):
        raise InputError(f"{name}: must be a table with the keys {', '.join(types)}")
    for key in options:
        if key not in types:
            hint = did_you_mean(str(key), types)
            raise InputError(f"{name}: {key}: no such key{hint}; there are {', '.join(types)}")
    if missing := [key for key in ("claim", "source", "printed") if options.get(key) is None]:
        raise InputError(f"{name}: {missing[0]} is missing")
    try:
        values = {key: from_plain(key, value, types[key]) for key, value in options.items()}
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    for key in values.keys() & {"of", "ahead_of", "learned"}:
        values[key] = {str(name): value for name, value in values[key].items()}
    return Claim(**values)


def claims_table(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """A table row per claim of the experiment in `folder`, with the columns `COLUMNS`.

    `ours` is the mean over seeds with the ends of its 95 % interval, of the row or of its distance from another,
    paired over seeds; of another table, its value and its columns `low` and `high`, if it has them.
    """
    folder = pathlib.Path(folder)
    command, claims = read_claims(folder / CLAIMS)
    tables: dict[str, pd.DataFrame] = {}
    rows = []
    for claim in claims:
        ours, low, high, seeds, learned = (np.nan, np.nan, np.nan, 0, True)
        if claim.of:
            try:
                if claim.file not in tables:
                    tables[claim.file] = _table(folder, claim.file)
                answer = _measured if claim.file == RECORDS else _looked_up
                ours, low, high, seeds = answer(claim, tables[claim.file])
                learned = claim.learned is None or _has_learned(claim, claim.learned[AT_LEAST], tables[claim.file])
            except InputError as error:
                raise InputError(f"{folder / CLAIMS}: {claim.claim!r}: {error}") from error
        rows.append(
            {
                "experiment": folder.resolve().name,
                "claim": " ".join(claim.claim.split()),
                "source": " ".join(claim.source.split()),
                "printed": str(claim.printed),
                "wanted": claim.wanted,
                "ours": ours,
                "low": low,
                "high": high,
                "num_seeds": seeds,
                "verdict": verdict(claim, ours, low, high) if learned else NOT_SETTLED,
                "note": " ".join(f"{claim.not_reached or claim.note}{'' if learned else UNLEARNED}".split()),
                "command": command,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def verdict(claim: Claim, ours: float, low: float, high: float) -> str:
    """One of the four verdicts. Nothing is settled by a single seed; a looked-up value may lack an interval."""
    if claim.not_reached:
        return NOT_REACHED
    if np.isnan(low) or np.isnan(high):
        if claim.file == RECORDS:
            return NOT_SETTLED
        low = high = ours
    if claim.at_least <= low + _ROUNDING and claim.more_than < low and high - _ROUNDING <= claim.at_most:
        return AGREES
    outside = high < claim.at_least - _ROUNDING or high <= claim.more_than or low > claim.at_most + _ROUNDING
    return DISAGREES if outside else NOT_SETTLED


def _table(folder: pathlib.Path, name: str) -> pd.DataFrame:
    try:
        return collect(folder) if name == RECORDS else pd.read_csv(folder / name)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read ({error})") from error


def _measured(claim: Claim, records: pd.DataFrame) -> tuple[float, float, float, int]:
    """The mean over seeds of one model, or of its distance from another at the same seeds, and the interval."""
    first = _scores(claim.of, claim.column, records)
    if claim.ahead_of is None and claim.column in SHARES:
        return *mean_and_interval(first), int(first.notna().sum())
    second = 0 if claim.ahead_of is None else _scores({**claim.of, **claim.ahead_of}, claim.column, records)
    apart = (first - second).dropna().to_numpy()
    if not len(apart):
        raise InputError("the two models share no seed")
    mean, half = float(apart.mean()), half_width(apart)
    return mean, mean - half, mean + half, len(apart)


def _has_learned(claim: Claim, mean: float, records: pd.DataFrame) -> bool:
    """Whether the model has this mean over seeds where it must have learned."""
    return bool(_scores({**claim.of, **claim.learned_keys}, claim.column, records).mean() >= mean)


def _scores(keys: Mapping[str, Any], column: str, records: pd.DataFrame) -> pd.Series:
    """A column of one model on test data at the selected learning rate, by seed."""
    members = rows_with({SLICE: ALL_EXAMPLES, **keys}, selected_members(records, "test"))
    if len(members.drop_duplicates(RUN)) > 1:
        varying = [key for key in varying_keys(members) if key not in keys] or RUN
        raise InputError(f"{_in_words(keys)} are several runs, which differ in {', '.join(varying)}")
    scores = members.set_index(seed_columns(records))[_known(column, records)]
    if not pd.api.types.is_numeric_dtype(scores):
        raise InputError(f"{column} is not a column of numbers")
    return scores.astype(float)


def _looked_up(claim: Claim, table: pd.DataFrame) -> tuple[float, float, float, int]:
    rows = rows_with(claim.of, table)
    if len(rows) > 1:
        raise InputError(f"{claim.file}: {_in_words(claim.of)} are {len(rows)} rows")
    row = rows.iloc[0]
    low, high = (float(row[name]) if name in rows else np.nan for name in claim.interval)
    seeds = row.get("num_seeds", np.nan)
    try:
        value = float(row[_known(claim.column, table)])
    except ValueError as error:
        raise InputError(f"{claim.file}: {claim.column} is not a number there") from error
    if not low <= value <= high:  # the interval of another column
        low = high = np.nan
    return value, low, high, 0 if pd.isna(seeds) else int(seeds)


def rows_with(keys: Mapping[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """The rows with these values; raises InputError if there are none."""
    rows = table
    for key, value in keys.items():
        column = rows[_known(key, table)]
        if value is None:
            rows = rows[column.isna()]
        elif pd.api.types.is_numeric_dtype(column) and isinstance(value, int | float):
            rows = rows[column == value]
        else:
            rows = rows[column.map(format_value) == format_value(value)]
        if rows.empty:
            there = ", ".join(table[key].map(format_value).drop_duplicates()[:20])
            raise InputError(f"no row has {key}={_text(value)} of {_in_words(keys)}; there are {there}")
    return rows


def _known(column: str, table: pd.DataFrame) -> str:
    if column not in table:
        raise InputError(f"{column}: no such column{did_you_mean(column, map(str, table))}")
    return column


def _in_words(keys: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_text(value)}" for key, value in keys.items())


def _text(value: object) -> str:
    """A value of YAML as a table of records prints it: no value is a missing one."""
    return format_value(np.nan if value is None else value)
