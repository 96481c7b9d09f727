"""How wide the window of good learning rates of each model and start is: `windows.csv`, and a figure of them.

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
from sandbox.report.style import COLORS, footnote
from sandbox.results import ALL_EXAMPLES, RECORDS
from sandbox.tables import collect

HERE = pathlib.Path(__file__).parent
STARTS = ("small", "untied")
LEARNED = 0.5
"""Validation accuracy below which a seed has learned nothing that a window could be around."""


def width(members: pd.DataFrame) -> float:
    """The width of the window of one seed in decades; nan where no rate learns, as no rate is good then."""
    found = window(members)
    learned = members["accuracy"].max() >= LEARNED
    return float(np.log10(found.highest / found.lowest)) if found is not None and learned else np.nan


def windows() -> pd.DataFrame:
    """A row per model and start: the window of the mean over seeds, and its width in decades, with an interval."""
    members = validation_members(collect(HERE), ALL_EXAMPLES)
    rows = []
    for (model, tied), of_model in members.groupby(["label", "model.tied"], sort=False):
        means = of_model.groupby("learning_rate", as_index=False)["accuracy"].mean()
        whole = window(means)
        seeds = [seed for _, seed in of_model.groupby("seed")]
        decades = np.array([width(seed) for seed in seeds])
        at_end = any(found.reaches_end for found in map(window, seeds) if found is not None)
        half = half_width(decades)
        rows.append(
            {
                "model": model,
                "start": STARTS[0] if tied else STARTS[1],
                "lowest": whole.lowest,
                "highest": whole.highest,
                "best": means["learning_rate"][means["accuracy"].idxmax()],
                "accuracy": means["accuracy"].max(),
                "lowest_tried": means["learning_rate"].min(),
                "highest_tried": means["learning_rate"].max(),
                "reaches_end": whole.reaches_end,
                "decades": decades.mean(),
                "low": decades.mean() - half,
                "high": decades.mean() + half,
                "decades_inside": np.nan if at_end else decades.mean(),
                "num_seeds": len(decades),
            }
        )
    return pd.DataFrame(rows).sort_values("decades", ascending=False, ignore_index=True)


def drawn(table: pd.DataFrame) -> Figure:
    """A row per model with a bar per start, from the lowest to the highest rate of its window; a dot at the best.

    Beside it stands the accuracy at the best rate. A model that learns at no rate has neither.
    """
    models = list(dict.fromkeys(table["model"]))
    figure = Figure(figsize=(4.8, 0.8 + 0.26 * len(models)), layout="constrained")
    ax = figure.subplots()
    for i, start in enumerate(STARTS):
        of_start = table[(table["start"] == start) & (table["accuracy"] >= LEARNED)]
        places = np.array([models.index(model) for model in of_start["model"]]) + (i - 0.5) * 0.36
        ax.hlines(places, of_start["lowest"], of_start["highest"], color=COLORS[i], linewidth=4, label=start)
        ax.plot(of_start["best"], places, linestyle="", marker="o", color="black", markersize=3)
        at_end = of_start["highest"] == of_start["highest_tried"]
        ax.plot(of_start["highest"][at_end], places[at_end], color=COLORS[i], linestyle="", marker=9, markersize=7)
        for place, highest, score in zip(places, of_start["highest"], of_start["accuracy"], strict=True):
            label_at = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
            ax.annotate(f"{score:.0%}", (highest, place), fontsize=6, **label_at)
    ax.set_yticks(range(len(models)), models)
    ax.set_ylim(len(models) - 0.4, -0.6)
    ax.set_xscale("log")
    ax.set_xlim(table["lowest_tried"].min(), 2 * table["highest_tried"].max())  # room for the scores
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("Learning rates within 5 points of the best")
    figure.legend(title="Start", loc="outside upper center", ncols=len(STARTS))
    footnote(
        figure,
        "Per cent: validation accuracy at the best rate, the dot. No dot: under half right at every rate. "
        "Arrow: the highest rate that was tried.",
    )
    return figure


def write_figures(out: pathlib.Path) -> None:
    """Writes the report, the table of windows and their figure into the folder `out`."""
    table = windows()
    draw_all({"windows": lambda: Drawing(table, drawn(table))}, out, ("pdf", "png"), [])
    write_report(HERE / RECORDS, out)  # claims ask the table of windows


if __name__ == "__main__":
    write_figures(HERE)
    print(windows().to_string(index=False))
