"""Figure 2 of Arora et al. 2023 (arXiv:2312.04927) beside ours: `printed_and_ours.csv`, and a figure of both.

`published.csv` is read off the printed figure, to about 0.02; markers that others cover are left out.

Run: `python experiments/zoology_fig2/draw.py`
"""

import pathlib

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from sandbox.report import write_report
from sandbox.report.drawing import Drawing, draw_all
from sandbox.report.intervals import interval_in_words
from sandbox.report.points import make_points
from sandbox.report.style import COLUMN_WIDTH, PAGE_WIDTH, footnote, legend_beside, series_style
from sandbox.results import ALL_EXAMPLES, RECORDS
from sandbox.tables import collect

HERE = pathlib.Path(__file__).parent
PANEL = ["length", "pairs"]
KEYS = [*PANEL, "model", "d_model"]


def printed_and_ours() -> pd.DataFrame:
    """A row per printed number or point of ours: panel, model and width, what was printed, and what we have."""
    settings = ["task.length", "task.pairs", "model.d_model"]
    points = make_points(collect(HERE), measures=settings)
    points = points[points["slice"] == ALL_EXAMPLES]
    points = points.rename(columns=dict(zip([*settings, "label"], [*PANEL, "d_model", "model"], strict=True)))
    points["pairs"] = points["pairs"].astype(int)  # an option that may be a list
    published = pd.read_csv(HERE / "published.csv").rename(columns={"accuracy": "printed"})
    ours = points[[*KEYS, "accuracy", "low", "high", "num_seeds"]]
    return published.merge(ours, how="outer", on=KEYS, sort=False)


def drawn(table: pd.DataFrame) -> Figure:
    """Accuracy against width, a panel per setting that we have; hollow and dotted, what was printed."""
    models = list(dict.fromkeys(table["model"]))
    panels = [rows for _, rows in table.groupby(PANEL) if rows["accuracy"].notna().any()]
    figure = Figure(figsize=(COLUMN_WIDTH if len(panels) == 1 else PAGE_WIDTH, 2.6), layout="constrained")
    for ax, rows in zip(np.atleast_1d(figure.subplots(1, len(panels), sharey=True)), panels, strict=True):
        for number, model in enumerate(models):
            of_model, style = rows[rows["model"] == model], series_style(number)
            ax.plot(
                of_model["d_model"], of_model["printed"], **style | {"linestyle": ":"}, markerfacecolor="white"
            )
            ax.vlines(of_model["d_model"], of_model["low"], of_model["high"], color=style["color"], linewidth=0.8)
            ax.plot(of_model["d_model"], of_model["accuracy"], **style | {"linestyle": "-"})
        widths = sorted(rows["d_model"].unique())
        ax.set_xscale("log", base=2)
        ax.set_xticks(widths, [f"{width:g}" for width in widths])
        ax.set_ylim(0, 1.02)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set_xlabel("Width")
        ax.set_title(f"{rows['pairs'].iloc[0]} pairs in {rows['length'].iloc[0]} tokens")
    figure.axes[0].set_ylabel("Accuracy")
    handles = [
        Line2D([], [], **series_style(number) | {"linestyle": "-"}, label=model)
        for number, model in enumerate(models)
    ]
    handles.append(
        Line2D([], [], color="0.4", marker="o", markerfacecolor="white", linestyle=":", label="as printed")
    )
    legend_beside(figure, handles)
    footnote(figure, interval_in_words(table["num_seeds"].dropna().astype(int)))
    return figure


def write_figures(out: pathlib.Path) -> None:
    """Writes the report, and the printed numbers beside ours, into the folder `out`."""
    write_report(HERE / RECORDS, out, x="model.d_model")
    table = printed_and_ours()
    draw_all({"printed_and_ours": lambda: Drawing(table, drawn(table))}, out, ("pdf", "png"), [])


if __name__ == "__main__":
    write_figures(HERE)
