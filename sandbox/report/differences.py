"""Which series differ: paired tests over seeds, of the models at the same size."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from sandbox.counted import counted
from sandbox.report.intervals import INTERVAL, LEVEL
from sandbox.report.points import seed_columns, selected_members
from sandbox.report.series import STATE_SIZE, TASK, name_series
from sandbox.report.style import format_size

DIFFERENT, NOT_SHOWN, TOO_FEW = "different", "not shown to differ", "too few seeds"

TEST_EXAMPLES = "train.test_examples"

_PRINTED = 20
_EXAMPLES = 2048  # of tables without that column


def differences(records: pd.DataFrame, keys: Sequence[str], size: str, slice_name: str) -> pd.DataFrame:
    """One table row per pair of models that are compared, the largest difference in accuracy first.

    Two series are compared at each size that both have (the same `mixer.d_state` or the same `size`); one with a
    single size is compared with every size of the other, and a lone series at each pair of its sizes. Tasks are
    apart. Pairs are scores of the same seed, which draws the same data for both models.

    Columns: `slice`, the task if there are several, `first` (the better one) and `second` with their sizes, the
    mean `difference` with the ends `low` and `high` of its 95 % paired t interval, `p` of the two-sided paired t
    test, `p_holm` (Holm 1979: corrected for all tests of the table), `num_seeds` in common, and the `verdict`,
    which is `different` where `p_holm` is below 5 %.
    """
    members = selected_members(records, "test")
    members = members[members["slice"] == slice_name]
    of_model = members.groupby(["label", *keys], sort=False, dropna=False).ngroup()
    of_seed = members.groupby(seed_columns(records), dropna=False).ngroup()
    members = members.assign(series=name_series(members, keys, [size]))
    models = members[~of_model.duplicated()].reset_index(drop=True)
    scores = np.full((len(models), of_seed.nunique()), np.nan)
    scores[of_model, of_seed] = members["accuracy"]
    pairs = _pairs(models, size)
    examples = records[TEST_EXAMPLES].min() if TEST_EXAMPLES in records else _EXAMPLES
    table = _paired_t(scores[[a for a, _ in pairs]], scores[[b for _, b in pairs]], 1 / examples)
    worse = table["difference"] < 0
    for side, name in enumerate(("first", "second")):
        better = [pair[1 - side] if down else pair[side] for pair, down in zip(pairs, worse, strict=True)]
        table.insert(2 * side, name, models["series"].iloc[better].tolist())
        table.insert(2 * side + 1, f"{name} {size}", models[size].iloc[better].tolist())
    if TASK in keys:
        table.insert(0, TASK, models[TASK].iloc[[a for a, _ in pairs]].tolist())
    table.insert(0, "slice", slice_name)
    table.loc[worse, ["low", "high"]] = -table.loc[worse, ["high", "low"]].to_numpy()
    table["difference"] = table["difference"].abs()
    return table.sort_values("difference", ascending=False, kind="stable", ignore_index=True)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction of p values for all of them together; nan where there was no test."""
    corrected, order = np.full(len(p), np.nan), np.argsort(p)[: np.isfinite(p).sum()]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def differences_in_words(table: pd.DataFrame, size: str, file: str) -> list[str]:
    """The largest differences as lines of text, in points of per cent; `file` has the rest."""
    lines = [
        f"{counted(len(of_slice), 'pair')} of models at equal size, or of which one has a single size, on {name}: "
        f"{(of_slice['verdict'] == DIFFERENT).sum()} differ. Points of accuracy between them, paired over seeds, "
        f"each with its own {INTERVAL}; p is corrected for all pairs (Holm), and must be below {1 - LEVEL:.2g}:"
        for name, of_slice in table.groupby("slice", sort=False)
    ]
    tested = table[table["verdict"] != TOO_FEW]
    for row in tested.head(_PRINTED).to_dict("records"):
        first, second = (
            f"{row[side]} at {format_size(size, row[f'{side} {size}'])}" for side in ("first", "second")
        )
        interval = f"({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        points = f"{100 * row['difference']:.1f} {interval}, p {row['p_holm']:.2g}, seeds: {row['num_seeds']}"
        lines.append(f"  {first} ahead of {second} by {points}: {row['verdict']}")
    if (more := len(tested) - _PRINTED) > 0:
        lines.append(f"  {more} smaller differences in {file}")
    if untested := len(table) - len(tested):
        lines.append(f"  {TOO_FEW}: {untested} pairs with fewer than 2 seeds in common, in {file}")
    return lines


def _pairs(models: pd.DataFrame, size: str) -> list[tuple[int, int]]:
    """The rows of `models` to compare."""
    sizes = models["series"].map(models["series"].value_counts())
    columns = [name for name in dict.fromkeys((size, STATE_SIZE)) if name in models]
    rows = models.assign(sizes=sizes).to_dict("records")
    alone = models["series"].nunique() == 1

    def comparable(a: dict, b: dict) -> bool:
        same = any(a[name] == b[name] for name in columns)
        two = a["series"] != b["series"] and a.get(TASK) == b.get(TASK)
        return alone or (two and (same or 1 in (a["sizes"], b["sizes"])))

    return [(a, b) for a, b in itertools.combinations(range(len(rows)), 2) if comparable(rows[a], rows[b])]


def _paired_t(first: np.ndarray, second: np.ndarray, least: float) -> pd.DataFrame:
    """The paired t test of each row, over the columns that both have.

    The standard deviation of differences counts as `least` if it is smaller: scores are shares of a finite number
    of examples, and seeds that agree by chance, or because all have solved the task, are not infinitely certain.
    """
    apart = first - second
    count = np.isfinite(apart).sum(axis=1)
    tested = count >= 2
    mean, error = np.full(len(apart), np.nan), np.full(len(apart), np.nan)
    mean[count > 0] = np.nanmean(apart[count > 0], axis=1)
    error[tested] = np.maximum(np.nanstd(apart[tested], axis=1, ddof=1), least) / np.sqrt(count[tested])
    half = special.stdtrit(np.maximum(count - 1, 1), (1 + LEVEL) / 2) * error
    t = np.divide(np.abs(mean), error, out=np.zeros(len(apart)), where=error > 0)
    p = np.where(tested, 2 * special.stdtr(np.maximum(count - 1, 1), -t), np.nan)
    corrected = holm(p)
    verdict = np.where(corrected < 1 - LEVEL, DIFFERENT, np.where(tested, NOT_SHOWN, TOO_FEW))
    columns = {"difference": mean, "low": mean - half, "high": mean + half, "p": p, "p_holm": corrected}
    return pd.DataFrame(columns | {"num_seeds": count, "verdict": verdict})
