"""Recall against state as published, by two counts of its bytes, and ours: `published_and_ours.csv` and a figure.

`published.csv` is read off the plot in the README of Zoology's code (commit d88d6f5): accuracy, the best of four
learning rates, averaged over seven test sets of 4 to 256 pairs in 64 to 1024 tokens, against the bytes that this
code counts; settings are those of its `experiments/models_repo.py`. The other count is what decoding carries, from
the same layers here.

Run: `python experiments/recall_vs_state/draw.py`
"""

import pathlib

import pandas as pd
from flax import nnx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from sandbox.cost.state import state_bytes
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.report import write_report
from sandbox.report.drawing import Drawing, draw_all
from sandbox.report.intervals import interval_in_words
from sandbox.report.points import make_points
from sandbox.report.style import PAGE_WIDTH, footnote, format_bytes, legend_beside, series_style
from sandbox.results import ALL_EXAMPLES, RECORDS
from sandbox.tables import collect

HERE = pathlib.Path(__file__).parent
LONGEST = 1024
"""Tokens of the longest sequences of the published plot."""


VOCABULARY = 8192
"""Tokens of the published runs; the state does not depend on it."""


def carried(mixer: str, options: dict[str, int], width: int, first_layer: str) -> int:
    """The bytes that decoding carries from token to token, after `LONGEST` tokens.

    The model has two layers of the mixer, or one after another layer, if `first_layer` is its name.
    """
    config = ModelConfig(d_model=width, layout=[first_layer or "mixer", "mixer"])
    model = nnx.eval_shape(lambda: config.make(MIXERS[mixer](**options), VOCABULARY, rngs=nnx.Rngs(0)))
    return state_bytes(model, LONGEST)


def published() -> pd.DataFrame:
    """A row per published point, with the bytes that its two layers carry."""
    table = pd.read_csv(HERE / "published.csv", keep_default_na=False)
    sizes = []
    for row in table.to_dict("records"):
        options = {name: int(value) for name, value in (option.split("=") for option in row["options"].split())}
        sizes.append(carried(row["mixer"], options, row["d_model"], row["first_layer"]))
    table["state_bytes"] = sizes
    return table[["model", "d_model", "options", "zoology_bytes", "state_bytes", "accuracy"]]


def ours(models: list[str]) -> pd.DataFrame:
    """Our points of these models, averaged over all test sequences."""
    points = make_points(collect(HERE))
    points = points[(points["slice"] == ALL_EXAMPLES) & points["label"].isin(models)]
    return points.rename(columns={"label": "model"})[
        ["model", "state_bytes", "accuracy", "low", "high", "num_seeds"]
    ]


def panel(ax: Axes, points: pd.DataFrame, models: list[str]) -> None:
    """Accuracy against bytes carried, a line per model; dotted, the bytes that Zoology counts."""
    for number, model in enumerate(models):
        style = series_style(number)
        rows = points[points["model"] == model].sort_values("state_bytes")
        if "zoology_bytes" in points:
            counted = rows.sort_values("zoology_bytes")
            ax.plot(
                counted["zoology_bytes"], counted["accuracy"], color=style["color"], linestyle=":", linewidth=0.8
            )
        else:
            ax.vlines(rows["state_bytes"], rows["low"], rows["high"], color=style["color"], linewidth=0.8)
        ax.plot(rows["state_bytes"], rows["accuracy"], **style)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda size, _: format_bytes(size))
    ax.tick_params(axis="x", rotation=30)
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("State carried per sequence")


def drawn(theirs: pd.DataFrame, mine: pd.DataFrame) -> Figure:
    """The published points and ours, side by side."""
    models = list(dict.fromkeys(theirs["model"]))
    figure = Figure(figsize=(PAGE_WIDTH, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    panel(left, theirs, models)
    panel(right, mine, models)
    left.set_title("Published: 4 to 256 pairs, 64 to 1024 tokens")
    right.set_title("Ours: 4 to 64 pairs, 64 to 256 tokens")
    left.set_ylabel("Accuracy")
    handles = [Line2D([], [], **series_style(number), label=model) for number, model in enumerate(models)]
    handles.append(Line2D([], [], color="0.4", linestyle=":", label="as Zoology counts"))
    legend_beside(figure, handles)
    footnote(figure, "Published: the best of four learning rates, one seed.", interval_in_words(mine["num_seeds"]))
    return figure


def write_figures(out: pathlib.Path) -> None:
    """Writes the report, and the published points beside ours, into the folder `out`."""
    write_report(HERE / RECORDS, out)
    theirs = published()
    mine = ours(list(theirs["model"].unique()))
    table = pd.concat([theirs.assign(source="published"), mine.assign(source="ours")], ignore_index=True)
    draw_all({"published_and_ours": lambda: Drawing(table, drawn(theirs, mine))}, out, ("pdf", "png"), [])


if __name__ == "__main__":
    write_figures(HERE)
