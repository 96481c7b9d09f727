"""Learning curves: validation accuracy against optimiser steps, at the selected learning rate."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from sandbox.report.crowd import MOST_PANELS, crowd_notes, foremost
from sandbox.report.drawing import Drawing, NothingToDraw
from sandbox.report.intervals import over_seeds
from sandbox.report.panels import explain, panel_grid, shades
from sandbox.report.series import name_series, series_names, sort_by_series
from sandbox.report.style import CHANCE, chance_lines, footnote
from sandbox.results import ALL_EXAMPLES, EVALUATION_FIELDS, RUN

_CAPTION = (
    "Validation accuracy at the selected learning rate: mean over seeds, band from the worst seed to the best. "
    "A member that stopped early keeps its last accuracy."
)


def curves(records: pd.DataFrame, evaluations: pd.DataFrame, keys: Sequence[str], size: str) -> Drawing:
    """One panel per series and one line per size: mean over seeds, with a band from the worst seed to the best.

    A member that stopped early (solved or diverged) keeps its last accuracy to the end of its line, so that the
    mean is over the same members at every step. Raises NothingToDraw if no run has evaluations.
    """
    if evaluations.empty:
        raise NothingToDraw("no metrics.csv in the runs, and no evaluations.csv beside the records")
    if missing := [name for name in (*RUN, *EVALUATION_FIELDS) if name not in evaluations]:
        raise NothingToDraw(f"the evaluations have no column {', '.join(missing)}")
    chosen = records[records["selected"].astype(bool)].drop_duplicates([*RUN, "label"])
    whole = records[(records["split"] == "validation") & (records["slice"] == ALL_EXAMPLES)].drop_duplicates(RUN)
    chosen = chosen.drop(columns="chance").merge(whole[[*RUN, "chance"]], how="left", on=RUN)
    chosen = chosen.assign(series=name_series(chosen, keys, [size]))
    columns = list(dict.fromkeys([*RUN, "label", "series", *keys, size, "chance"]))
    rows = evaluations.merge(chosen[[*columns, "learning_rate"]], on=RUN, suffixes=("", "_selected"))
    # The two files may print one learning rate in different precision.
    rows = rows[np.isclose(rows["learning_rate"], rows["learning_rate_selected"], rtol=1e-5, atol=0)]
    if rows.empty:
        raise NothingToDraw("no evaluation belongs to a selected member of these records")
    without = len(chosen.drop_duplicates(RUN)) - len(rows.drop_duplicates(RUN))
    notes = [f"{without} of {len(chosen.drop_duplicates(RUN))} runs left no evaluations"] if without else []
    by = list(dict.fromkeys(["label", "series", *keys, size, "chance"]))
    lines = [members for _, members in rows.groupby(by, sort=False, dropna=False)]
    configs = rows.drop_duplicates(by)[by].reset_index(drop=True)  # in the order of the groups
    frame = pd.concat([_line(members).assign(line=number) for number, members in enumerate(lines)])
    frame = configs.merge(frame, left_index=True, right_on="line").drop(columns="line")
    frame = sort_by_series(frame, series_names(chosen), [size, "step"])
    best = foremost(frame.groupby("series", sort=False)["accuracy"].max(), MOST_PANELS)
    notes += crowd_notes(len(best), frame["series"].nunique(), "shown, those that learned most")
    return Drawing(frame, _draw(frame[frame["series"].isin(best)], keys, size, notes), _CAPTION, notes)


def _line(members: pd.DataFrame) -> pd.DataFrame:
    """Mean, worst and best accuracy of the members, at every step at which any of them was evaluated."""
    members = members.drop_duplicates([*RUN, "seed", "step"], keep="last")
    table = members.pivot(index="step", columns=[*RUN, "seed"], values="validation_accuracy").sort_index().ffill()
    summary = {"accuracy": table.mean(axis=1), "low": table.min(axis=1), "high": table.max(axis=1)}
    return pd.DataFrame(summary | {"num_seeds": table.notna().sum(axis=1)}).reset_index()


def _draw(frame: pd.DataFrame, keys: Sequence[str], size: str, notes: Sequence[str]) -> Figure:
    sizes = sorted(set(frame[size]))
    colors = shades(sizes)
    figure, panels = panel_grid(series_names(frame), "Optimiser steps", "Validation accuracy")
    lines = list(dict.fromkeys(["series", *keys, size]))
    for _, line in frame.groupby(lines, sort=False, dropna=False):
        ax, color = panels[line["series"].iloc[0]], colors[line[size].iloc[0]]
        ax.fill_between(line["step"], line["low"], line["high"], color=color, alpha=0.2, linewidth=0)
        ax.plot(line["step"], line["accuracy"], color=color)
        chance_lines(ax, line["chance"])
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_xlim(0, 1.02 * frame["step"].max())
    marks = {"chance": CHANCE} if frame["chance"].notna().any() else {}
    explain(figure, list(panels.values()), size, sizes, marks)
    footnote(figure, f"Mean {over_seeds(frame['num_seeds'])}, band: the worst and the best.", *notes)
    return figure
