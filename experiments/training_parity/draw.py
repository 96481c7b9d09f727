"""Compares how fast models of ours and of others learn: a row per architecture in `comparison.csv`, and a figure.

On either side the learning rate is the one with the best validation accuracy at the end, averaged over seeds; if
rates tie, the one with the fewest steps. The ratio of steps is that of geometric means over seeds; its interval is
a 95 % t interval over seeds on the paired differences of logarithms, since a seed draws the same data on both
sides. A seed that never learned counts with all its steps, so that such a ratio is a bound. Run:
`python experiments/training_parity/draw.py`
"""

import pathlib

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sandbox.report.drawing import Drawing, draw_all
from sandbox.report.intervals import half_width
from sandbox.report.learned import at_best_rate, steps_to_learn
from sandbox.report.style import COLORS, COLUMN_WIDTH
from sandbox.results import RUN
from sandbox.tables import collect_curves

HERE = pathlib.Path(__file__).parent
LEARNED = 0.9
SIDE = ["label", "learning_rate", "seed"]


def both_sides() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The members of each label at its best learning rate: ours, and those of the references."""
    runs = pd.read_csv(HERE / "records.csv").drop_duplicates(RUN)
    ours = collect_curves(HERE).merge(runs[[*RUN, "label"]], on=RUN)
    members = (
        steps_to_learn(evaluations, SIDE, LEARNED, int(runs["train.steps"].max()))
        for evaluations in (ours, pd.read_csv(HERE / "references.csv"))
    )
    one, other = (at_best_rate(table, ["label"]) for table in members)
    return one, other


def compare(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """A row per label: both sides, and the ratio of our steps to theirs."""
    pairs = one.merge(other, on=["label", "seed"], suffixes=("_ours", "_theirs"))
    rows = []
    for label, seeds in pairs.groupby("label"):
        logs = np.log(seeds["steps_ours"] / seeds["steps_theirs"])
        half = half_width(logs.to_numpy())
        row = {"label": label, "seeds": len(seeds)}
        for side in ("ours", "theirs"):
            row[f"learning_rate_{side}"] = seeds[f"learning_rate_{side}"].iloc[0]
            row[f"learned_{side}"] = int(seeds[f"learned_{side}"].sum())
            row[f"median_steps_{side}"] = seeds[f"steps_{side}"].median()
            row[f"accuracy_{side}"] = seeds[f"accuracy_{side}"].mean()
        low, ratio, high = np.exp(logs.mean() + np.array([-half, 0, half]))
        rows.append(row | {"ratio_of_steps": ratio, "low": low, "high": high})
    return pd.DataFrame(rows)


def draw(one: pd.DataFrame, other: pd.DataFrame) -> Figure:
    """Two rows of dots per label, one per seed; hollow dots never learned."""
    labels = sorted({*one["label"]} & {*other["label"]}, reverse=True)
    figure = Figure(figsize=(COLUMN_WIDTH, 0.9 + 0.36 * len(labels)), layout="constrained")
    ax = figure.add_subplot()
    for name, members, color, above in (("ours", one, COLORS[0], 0.15), ("reference", other, COLORS[3], -0.15)):
        members = members[members["label"].isin(labels)]
        height = members["label"].map(labels.index) + above
        face = np.where(members["learned"], color, "white")
        ax.scatter(members["steps"], height, 14, face, edgecolors=color, linewidths=0.8, label=name)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_xlim(left=0)
    ax.set_xlabel("Steps until 90 % on validation data; hollow: not reached")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def write_figures(out: pathlib.Path) -> None:
    """Writes the table and the figure into `out`."""
    if not all((HERE / name).is_file() for name in ("records.csv", "references.csv")):
        print("one side has not been trained yet")
        return
    one, other = both_sides()
    table = compare(one, other)
    draw_all({"comparison": lambda: Drawing(table, draw(one, other))}, out, ("pdf", "png"), [])
    print(table.to_string(index=False))


if __name__ == "__main__":
    write_figures(HERE)
