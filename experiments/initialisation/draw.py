"""Steps until each seed of each mixer had learned, for every start: tables, figures, and what the rule says.

For each folder of records beside this file, one per setting, `steps_to_learn.csv` gets a row per mixer, start and
seed, and a figure of the same name shows them. Run: `python experiments/initialisation/draw.py`
"""

import functools
import pathlib
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from sandbox.report.drawing import Drawing, draw_all
from sandbox.report.learned import at_best_rate, steps_to_learn
from sandbox.report.style import COLORS, PAGE_WIDTH
from sandbox.results import MEMBER, RUN
from sandbox.tables import collect, collect_curves

HERE = pathlib.Path(__file__).parent
PRESETS = HERE.parents[1] / "conf" / "start"
LEARNED = 0.9
"""Validation accuracy at which a seed has learned."""
COMPARED = ("small", "tenth", "untied")
"""The starts that take part in every stage."""
WITHIN = 0.03
"""Starts with so much fewer seeds that learned than the best, as a share, are compared by their steps."""


def presets() -> dict[str, dict[str, Any]]:
    """The options that each start sets, by its name."""
    read = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(PRESETS.glob("*.yaml"))}
    return {name: options for name, options in read.items() if options}


def start_of(records: pd.DataFrame) -> pd.Series:
    """The name of the start of each record. Raises ValueError if no preset is like one."""
    names = pd.Series("", index=records.index)
    for name, options in presets().items():
        columns = {key: records[f"model.{key}"] for key in options}
        same = [columns[key].isna() if value is None else columns[key] == value for key, value in options.items()]
        names[np.logical_and.reduce(same)] = name
    if (unknown := names == "").any():
        raise ValueError(f"{records['run_id'][unknown].iloc[0]}: no preset of conf/start starts like this run")
    return names


def learned_at(folder: pathlib.Path) -> pd.DataFrame:
    """A row per mixer, start and seed at the best learning rate; see `sandbox.report.learned`."""
    runs = collect(folder).drop_duplicates(RUN)
    runs = runs.assign(start=start_of(runs), mixer=runs["mixer.name"])
    members = steps_to_learn(collect_curves(folder), MEMBER, LEARNED, int(runs["train.steps"].max()))
    table = at_best_rate(members.merge(runs[[*RUN, "mixer", "start"]], on=RUN), ["mixer", "start"])
    table = table[["mixer", "start", "seed", "learning_rate", "learned", "steps", "accuracy"]]
    return table.sort_values(["mixer", "start", "seed"], ignore_index=True)


def complete(table: pd.DataFrame, starts: Collection[str]) -> pd.DataFrame:
    """The rows with these starts, of the mixers that have all of them."""
    table = table[table["start"].isin(starts)]
    return table[table.groupby("mixer")["start"].transform("nunique") == len(starts)]


def verdict(tables: pd.DataFrame) -> pd.DataFrame:
    """Each start by the rule of the README: the seeds that learned, and the median of their steps."""
    summary = tables.groupby("start").agg(
        seeds=("learned", "size"), learned=("learned", "sum"), median_steps=("steps", "median")
    )
    close = summary["learned"] >= (1 - WITHIN) * summary["learned"].max()
    summary["candidate"] = close
    return summary.sort_values(["candidate", "median_steps"], ascending=[False, True])


def draw(table: pd.DataFrame) -> Figure:
    """One panel per start, one row per mixer, one dot per seed; hollow dots never learned."""
    starts = [name for name in presets() if name in set(table["start"])]
    mixers = table.groupby("mixer")["steps"].mean().sort_values(ascending=False).index.tolist()
    figure = Figure(figsize=(PAGE_WIDTH, 0.8 + 0.16 * len(mixers)), layout="constrained")
    panels = figure.subplots(1, len(starts), sharex=True, sharey=True, squeeze=False)[0]
    for ax, start, color in zip(panels, starts, COLORS, strict=False):
        rows = table[table["start"] == start]
        height = rows["mixer"].map(mixers.index) + 0.22 * (rows["seed"] - rows["seed"].mean())
        face = np.where(rows["learned"], color, "white")
        ax.scatter(rows["steps"], height, 9, face, edgecolors=color, linewidths=0.7, zorder=2)
        ax.set_title(f"{start}\n{rows['learned'].sum()} of {len(rows)}")
        ax.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(mixers)), mixers)
    panels[0].set_ylim(-0.7, len(mixers) - 0.3)
    panels[0].set_xlim(0, 1.06 * table["steps"].max())
    figure.supxlabel("Steps until 90 % on validation data; hollow: not reached", fontsize=8)
    return figure


def write_figures(out: pathlib.Path) -> None:
    """Writes the tables and figures below `out`, and prints the verdict."""
    tables = []
    for records in sorted(HERE.glob("*/records.csv")):
        table, folder = learned_at(records.parent), out / records.parent.name
        folder.mkdir(exist_ok=True)
        figures = {"steps_to_learn": functools.partial(lambda table: Drawing(table, draw(table)), table)}
        draw_all(figures, folder, ("pdf", "png"), [])
        whole = complete(table, set(table["start"]))
        print(f"{records.parent.name}, {whole['mixer'].nunique()} mixers with all starts")
        print(verdict(whole).to_string(), end="\n\n")
        tables.append(complete(table, COMPARED))
    print(f"all settings, the starts that are compared\n{verdict(pd.concat(tables)).to_string()}")


if __name__ == "__main__":
    write_figures(HERE)
