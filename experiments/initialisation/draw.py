"""Steps until each seed of each mixer had learned, for every start: tables, figures, and what the rule says.

For each folder of records beside this file, one per setting, `steps_to_learn.csv` gets a row per mixer, start and
seed, and a figure of the same name shows them. Run: `python experiments/initialisation/draw.py`
"""

import pathlib
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from sandbox.report.learned import steps_to_learn
from sandbox.report.style import COLORS, PAGE_WIDTH, RC
from sandbox.results import MEMBER
from sandbox.tables import collect, collect_curves

HERE = pathlib.Path(__file__).parent
PRESETS = HERE.parents[1] / "conf" / "start"
LEARNED = 0.9
"""Validation accuracy at which a seed has learned."""
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
    """A row per mixer, start and seed at the selected learning rate; see `sandbox.report.learned`."""
    records, members = collect(folder), steps_to_learn(collect_curves(folder), MEMBER, LEARNED)
    records = records[(records["split"] == "validation") & (records["slice"] == "all") & records["selected"]]
    records = records.assign(start=start_of(records), mixer=records["mixer.name"])
    table = records[[*MEMBER, "mixer", "start"]].merge(members, on=MEMBER)
    table = table[["mixer", "start", "seed", "learning_rate", "learned", "steps", "accuracy"]]
    return table.sort_values(["mixer", "start", "seed"], ignore_index=True)


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the mixers that have every start."""
    starts = table.groupby("mixer")["start"].transform("nunique")
    return table[starts == table["start"].nunique()]


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
        table.to_csv(folder / "steps_to_learn.csv", index=False, lineterminator="\n")
        with mpl.rc_context(RC):
            figure = draw(table)
            figure.savefig(folder / "steps_to_learn.png")
            figure.savefig(folder / "steps_to_learn.pdf", metadata={"CreationDate": None})
        tables.append(complete(table))
        print(
            f"{records.parent.name}: {table['mixer'].nunique()} mixers, {tables[-1]['mixer'].nunique()} complete"
        )
        print(verdict(tables[-1]).to_string(), end="\n\n")
    print("all settings\n" + verdict(pd.concat(tables)).to_string())


if __name__ == "__main__":
    write_figures(HERE)
