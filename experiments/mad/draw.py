"""MAD as two laboratories print it beside ours: `printed_and_ours.csv`, and a figure with a panel per task.

`published.csv` has the table of MAD in Yang et al. 2024 (arXiv:2406.06484), who took all rows but DeltaNet's from
Poli et al. 2024 (arXiv:2403.17844), and table A6 of MetaLA (Chou et al. 2024, arXiv:2411.10741).

Run: `python experiments/mad/draw.py`
"""

import pathlib

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from sandbox.report import write_report
from sandbox.report.drawing import Drawing, draw_all
from sandbox.report.intervals import interval_in_words
from sandbox.report.points import make_points
from sandbox.report.style import COLORS, PAGE_WIDTH, footnote
from sandbox.results import ALL_EXAMPLES, RECORDS
from sandbox.tables import collect

HERE = pathlib.Path(__file__).parent
TASKS = {"selective_copy": "selective copying"}
"""Names of tasks in MAD's words, where they are not ours."""
MARKERS = {"Yang et al. 2024": "s", "MetaLA": "D"}


def ours() -> pd.DataFrame:
    """Our accuracy averaged over classes, of each model and task."""
    records = collect(HERE)
    by_class = records.assign(accuracy=records["macro_accuracy"])
    points = make_points(by_class, measures=["task.name", "task.noise"])
    points = points[points["slice"] == ALL_EXAMPLES]
    names = points["task.name"].replace(TASKS)
    names = names.mask((names == "noisy") & (points["task.noise"] == 0), "in context")
    points = points.assign(task=names, source="ours").rename(columns={"label": "model"})
    return points[["source", "model", "task", "accuracy", "low", "high", "num_seeds"]]


def drawn(table: pd.DataFrame) -> Figure:
    """A panel per task with a row per model; hollow, what was printed."""
    tasks, models = (list(dict.fromkeys(table[key])) for key in ("task", "model"))
    figure = Figure(figsize=(PAGE_WIDTH, 2.6), layout="constrained")
    for ax, task in zip(figure.subplots(2, 3, sharex=True, sharey=True).flat, tasks, strict=True):
        for source, rows in table[table["task"] == task].groupby("source", sort=False):
            places = rows["model"].map(models.index)
            if source == "ours":
                ax.hlines(places, rows["low"], rows["high"], color=COLORS[0], linewidth=1)
                ax.plot(rows["accuracy"], places, color=COLORS[0], marker="o", linestyle="")
            else:
                marker = {"marker": MARKERS[source], "markerfacecolor": "white", "linestyle": ""}
                ax.plot(rows["accuracy"], places, color=COLORS[3], **marker)
        ax.set_title(task)
    ax.set_yticks(range(len(models)), models)
    ax.set_ylim(len(models) - 0.5, -0.5)
    ax.set_xlim(0, 1.03)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    figure.supxlabel("Accuracy averaged over classes", fontsize=8)
    handles = [Line2D([], [], color=COLORS[0], marker="o", label="ours")]
    for source, marker in MARKERS.items():
        style = {"color": COLORS[3], "marker": marker, "markerfacecolor": "white", "linestyle": ""}
        handles.append(Line2D([], [], **style, label=source))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    footnote(figure, interval_in_words(table["num_seeds"].dropna().astype(int)))
    return figure


def write_figures(out: pathlib.Path) -> None:
    """Writes the report, and the printed numbers beside ours, into the folder `out`."""
    write_report(HERE / RECORDS, out)
    table = pd.concat([pd.read_csv(HERE / "published.csv"), ours()], ignore_index=True)
    draw_all({"printed_and_ours": lambda: Drawing(table, drawn(table))}, out, ("pdf", "png"), [])


if __name__ == "__main__":
    write_figures(HERE)
