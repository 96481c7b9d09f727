"""How many pairs each memory holds: `capacity.csv`, and a figure of it against the rows of the memory.

Run: `python experiments/capacity/draw.py`
"""

import pathlib

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sandbox.report import write_report
from sandbox.report.drawing import Drawing, draw_all
from sandbox.report.intervals import half_width, interval_in_words
from sandbox.report.points import selected_members
from sandbox.report.slices import parse_slice
from sandbox.report.style import COLUMN_WIDTH, footnote, legend_beside, series_style
from sandbox.results import RECORDS
from sandbox.tables import collect

HERE = pathlib.Path(__file__).parent
HELD = 0.9
"""Accuracy at which a number of pairs counts as held."""


def pairs_held(pairs: np.ndarray, accuracy: np.ndarray) -> float:
    """The number of pairs at which the accuracy falls to `HELD`, between two that were tested by a straight line.

    The largest tested if that is held too; nan if the smallest is not, as the model may not have learned the task.
    """
    order = np.argsort(pairs)
    pairs, accuracy = pairs[order], accuracy[order]
    below = np.flatnonzero(accuracy < HELD)
    if not len(below):
        return float(pairs[-1])
    if (first := below[0]) == 0:
        return np.nan
    before, after = accuracy[first - 1], accuracy[first]
    share = (before - HELD) / (before - after)
    return float(pairs[first - 1] + share * (pairs[first] - pairs[first - 1]))


def capacities() -> pd.DataFrame:
    """A row per rule and number of rows, which attention lacks: pairs held, the mean over seeds, its interval."""
    members = selected_members(collect(HERE), "test")
    parsed = members["slice"].map(parse_slice)
    members = members.assign(pairs=parsed.str[1].astype(float))[parsed.str[0] == "pairs"]
    largest = members["pairs"].max()
    rows = []
    for (label, size), of_model in members.groupby(["label", "mixer.d_state"], sort=False, dropna=False):
        held = np.array(
            [
                pairs_held(seed["pairs"].to_numpy(), seed["accuracy"].to_numpy())
                for _, seed in of_model.groupby("seed")
            ]
        )
        half = half_width(held)
        rows.append(
            {
                "label": label,
                "rows": size,
                "pairs": held.mean(),
                "low": held.mean() - half,
                "high": held.mean() + half,
                "pairs_per_row": held.mean() / size,
                "most_tested": int(largest),
                "num_seeds": len(held),
            }
        )
    return pd.DataFrame(rows)


def drawn(table: pd.DataFrame) -> Figure:
    """Pairs held against the rows of the memory, a line per rule; dashed, a model without rows."""
    figure = Figure(figsize=(COLUMN_WIDTH, 2.6), layout="constrained")
    ax = figure.subplots()
    sizes = sorted(table["rows"].dropna().unique())
    line = np.geomspace(sizes[0], sizes[-1])
    ax.plot(line, line, color="0.6", linestyle=":", label="as many as rows")
    for _, level in table[table["rows"].isna()].iterrows():
        least = "at least " if level["pairs"] >= level["most_tested"] - 0.5 else ""
        ax.axhline(
            level["pairs"], color="0.3", linestyle="--", label=f"{level['label']}: {least}{level['pairs']:.0f}"
        )
    models = list(table.dropna(subset="rows").groupby("label", sort=False))
    for number, (label, rows) in enumerate(models):
        style, places = series_style(number), rows["rows"] * 2 ** (0.06 * (number - (len(models) - 1) / 2))
        ax.vlines(places, rows["low"], rows["high"], color=style["color"], linewidth=0.9)
        ax.plot(places, rows["pairs"], **style, label=label)
        least = rows["high"] > rows["most_tested"]  # some seeds hold all that were tested
        ax.plot(places[least], rows["pairs"][least], **style | {"linestyle": ""}, markerfacecolor="white")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
    ax.set_ylim(0, table["most_tested"].max() + 2)
    ax.set_xlabel("Rows of the memory")
    ax.set_ylabel(f"Pairs recalled at {HELD:.0%}")
    legend_beside(figure, ax.get_legend_handles_labels()[0])
    tested = f"{table['most_tested'].max()} pairs are the most that were tested; hollow: intervals reach beyond."
    footnote(figure, interval_in_words(table["num_seeds"]), tested)
    return figure


def write_figures(out: pathlib.Path) -> None:
    """Writes the report, the table of capacities and its figure into the folder `out`."""
    table = capacities()
    draw_all({"capacity": lambda: Drawing(table, drawn(table))}, out, ("pdf", "png"), [])
    write_report(HERE / RECORDS, out, x="mixer.d_state")  # claims ask the table of capacities


if __name__ == "__main__":
    write_figures(HERE)
    print(capacities().to_string(index=False))
