"""How wide the window of good learning rates of each mixer is: `windows.csv`, and a figure of the windows.

Run: `python experiments/lr_sensitivity/draw.py`
"""

import pathlib

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from sandbox.report import write_report
from sandbox.report.drawing import Drawing, draw_all
from sandbox.report.intervals import half_width
from sandbox.report.points import validation_members
from sandbox.report.rates import window
from sandbox.report.style import COLORS, COLUMN_WIDTH
from sandbox.results import ALL_EXAMPLES, RECORDS
from sandbox.tables import collect

HERE = pathlib.Path(__file__).parent
LEARNED = 0.5
"""Validation accuracy below which a seed has learned nothing that a window could be around."""


def width(members: pd.DataFrame) -> float:
    """The width of the window of one seed in decades; nan where no rate learns, as no rate is good then."""
    found = window(members)
    learned = members["accuracy"].max() >= LEARNED
    return float(np.log10(found.highest / found.lowest)) if found is not None and learned else np.nan


def windows() -> pd.DataFrame:
    """A row per mixer: the window of the mean over seeds, and its width in decades over seeds with an interval."""
    members = validation_members(collect(HERE), ALL_EXAMPLES)
    rows = []
    for mixer, of_mixer in members.groupby("mixer.name", sort=False):
        means = of_mixer.groupby("learning_rate", as_index=False)["accuracy"].mean()
        whole = window(means)
        decades = np.array([width(seed) for _, seed in of_mixer.groupby("seed")])
        half = half_width(decades)
        rows.append(
            {
                "mixer": mixer,
                "lowest": whole.lowest,
                "highest": whole.highest,
                "best": means["learning_rate"][means["accuracy"].idxmax()],
                "accuracy": means["accuracy"].max(),
                "reaches_end": whole.reaches_end,
                "decades": decades.mean(),
                "low": decades.mean() - half,
                "high": decades.mean() + half,
                "decades_inside": np.nan if whole.reaches_end else decades.mean(),
                "num_seeds": len(decades),
            }
        )
    return pd.DataFrame(rows).sort_values("decades", ascending=False, ignore_index=True)


def drawn(table: pd.DataFrame) -> Figure:
    """One bar per mixer, from the lowest to the highest rate of its window; a dot at the best."""
    figure = Figure(figsize=(COLUMN_WIDTH, 0.6 + 0.22 * len(table)), layout="constrained")
    ax = figure.subplots()
    for place, row in enumerate(table.to_dict("records")):
        ends = [row["lowest"], row["highest"]]
        ax.plot(ends, [place, place], color=COLORS[0], linewidth=4, solid_capstyle="butt")
        ax.plot(row["best"], place, marker="o", color="black")
    names = [f"{name} ({score:.0%})" for name, score in table[["mixer", "accuracy"]].to_numpy()]
    ax.set_yticks(range(len(table)), names)
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("Learning rates within 5 points of the best")
    return figure


def write_figures(out: pathlib.Path) -> None:
    """Writes the report, the table of windows and their figure into the folder `out`."""
    write_report(HERE / RECORDS, out)
    table = windows()
    draw_all({"windows": lambda: Drawing(table, drawn(table))}, out, ("pdf", "png"), [])


if __name__ == "__main__":
    write_figures(HERE)
    print(windows().to_string(index=False))
