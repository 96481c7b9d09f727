"""Figures of a look inside one trained model; each takes a table of what it shows (see `sandbox.probes`)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from sandbox.report.drawing import Drawing, NothingToDraw
from sandbox.report.page import embedded, render
from sandbox.report.style import CHANCE, COLORS, PAGE_WIDTH, accuracy_axis

MOST_LAYERS = 3
"""Layers that have a panel; a deeper model shows its last ones."""

_MOST_NAMES = 34  # tokens that are written along an axis
_SHORTEST, _LONGEST = 1.0, 1e5  # half-lives in tokens beyond which everything shares a bar

_PLAIN = EngFormatter(sep="")

DIFFICULTIES = {
    "distance": "Tokens since the answer was seen",
    "pairs_since": "Answers to other questions since",
    "overwrites": "Earlier values of the same key",
}


def attention_figure(
    weights: pd.DataFrame,
    tokens: Sequence[str],
    summaries: Mapping[int, str],
    asked: Sequence[tuple[int, int]],
) -> Drawing:
    """The implicit attention of each layer over one sequence.

    Args:
        weights: columns `layer`, `query`, `token`, positions from 0, and `weight`, the share of the row's weight.
        tokens: the sequence, in words.
        summaries: what is written below each layer's number.
        asked: the position of each question, and that of its answer, which get a ring.
    """
    layers = sorted(weights["layer"].unique())[-MOST_LAYERS:]
    if not layers:
        raise NothingToDraw("no layer is linear in its values")
    panel = PAGE_WIDTH / max(2, len(layers))
    figure = Figure(figsize=(panel * len(layers) + 0.6, 0.7 + 0.9 * panel), layout="constrained")
    axes = figure.subplots(1, len(layers), squeeze=False)[0]
    for ax, layer in zip(axes, layers, strict=True):
        rows = weights[weights["layer"] == layer]
        matrix = rows.pivot(index="query", columns="token", values="weight").to_numpy()
        rows_asked = [query for query, _ in asked] or list(range(1, len(matrix)))  # the first reads only itself
        largest = max(float(np.abs(matrix[rows_asked]).max()), 1e-6)
        image = ax.imshow(matrix, cmap="RdBu_r", norm=TwoSlopeNorm(0, -largest, largest))
        for query, answer in asked:
            ax.plot(
                answer, query, marker="o", markersize=4, markerfacecolor="none", color="black", markeredgewidth=0.6
            )
        ax.set_title(f"Layer {layer + 1}\n{summaries.get(layer, '')}".strip())
        ax.set_xlabel("token that is read")
        name_tokens(ax.xaxis, tokens, rotation=90.0)
        name_tokens(ax.yaxis, tokens)
        ax.grid(visible=False)
        bar = figure.colorbar(image, ax=ax, shrink=0.6, pad=0.02)
        bar.outline.set_visible(False)
    axes[0].set_ylabel("token that reads")
    caption = (
        "Implicit attention: what share of what a token reads comes from each earlier value, averaged over heads "
        "and channels; a negative weight subtracts a value. A sharp row has one dark cell, an even one is pale. "
        "Rings mark the questions, at the token that holds the answer: a model that looks it up there has a dark "
        "red cell in each. One may answer right with pale rings, if what follows the memory sorts out a blur."
    )
    return Drawing(weights.reset_index(drop=True), figure, caption)


def half_lives_figure(lives: Mapping[int, np.ndarray], length: int) -> Drawing:
    """Histograms of half-lives in tokens, by layer; `length` is that of the sequences."""
    if not lives:
        raise NothingToDraw("no layer has a scan with decays")
    edges = np.geomspace(_SHORTEST, _LONGEST, 31)
    figure = Figure(figsize=(PAGE_WIDTH, 2.2), layout="constrained")
    ax = figure.subplots()
    rows = []
    for number, (layer, values) in enumerate(sorted(lives.items())):
        counts, _ = np.histogram(np.clip(values, _SHORTEST, _LONGEST * (1 - 1e-9)), edges)
        shares = counts / counts.sum()
        ax.stairs(
            shares, edges, color=COLORS[number % len(COLORS)], fill=True, alpha=0.5, label=f"layer {layer + 1}"
        )
        for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True):
            rows.append({"layer": layer, "low": low, "high": high, "share": share})
    ax.axvline(length, color="0.4", linewidth=0.8, linestyle=":")
    top = ax.get_xaxis_transform()
    ax.annotate("length of the sequences", (length, 1), xycoords=top, ha="center", va="bottom", fontsize=6)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(_PLAIN)
    ax.set_xlabel("Half-life [tokens]")
    ax.set_ylabel("Share of gates")
    ax.legend()
    caption = (
        "Half-lives that the gates set while the test sequences are read, over tokens, heads and rows; the last "
        "bar has everything that is kept longer. A memory whose half-lives are short forgets within the sequence."
    )
    return Drawing(pd.DataFrame(rows), figure, caption)


def gates_figure(lives: Mapping[int, np.ndarray], tokens: Sequence[str]) -> Drawing:
    """Half-lives over the first sequence: a row per row of the memory, the shortest-lived on top, by layer.

    Args:
        lives: of each layer `[B, T, …]`, as `sandbox.probes.half_lives` has them.
        tokens: the sequence, in words.
    """
    of_first = {layer: values[0].reshape(len(tokens), -1).T for layer, values in sorted(lives.items())}
    moving = {layer: rows for layer, rows in of_first.items() if not (rows == rows[:, :1]).all()}
    if not moving:
        raise NothingToDraw("no layer has decays that depend on the data")
    layers = list(moving)[-MOST_LAYERS:]
    figure = Figure(figsize=(PAGE_WIDTH, 0.8 + 1.3 * len(layers)), layout="constrained")
    axes = figure.subplots(len(layers), 1, squeeze=False, sharex=True)[:, 0]
    tables = []
    shown = np.clip(np.concatenate([moving[layer].ravel() for layer in layers]), _SHORTEST, _LONGEST)
    scale = LogNorm(shown.min(), shown.max())
    for ax, layer in zip(axes, layers, strict=True):
        rows = np.clip(moving[layer], _SHORTEST, _LONGEST)
        rows = rows[np.argsort(np.log(rows).mean(axis=1))]
        image = ax.imshow(rows, aspect="auto", cmap="cividis", norm=scale, interpolation="nearest")
        ax.set_ylabel(f"layer {layer + 1}")
        ax.set_yticks([])
        ax.grid(visible=False)
        row, token = np.indices(rows.shape)
        columns = {"layer": layer, "row": row.ravel(), "token": token.ravel(), "half_life": rows.ravel()}
        tables.append(pd.DataFrame(columns))
    size = 5 if len(tokens) > _MOST_NAMES else 6
    axes[-1].set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=size)
    bar = figure.colorbar(image, ax=list(axes), label="Half-life [tokens]", pad=0.01, aspect=15, format=_PLAIN)
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.outline.set_visible(False)
    caption = (
        "How long what is in memory would be kept if every token were like this one, as its gates say: a strip "
        "per row of the memory, or per head where a head has one gate, the shortest-lived on top. Darker is "
        "shorter; the bar has the numbers."
    )
    return Drawing(pd.concat(tables, ignore_index=True), figure, caption)


def recall_figure(tables: Mapping[str, pd.DataFrame], chance: float) -> Drawing:
    """Accuracy against each difficulty of a question: tables of `sandbox.probes.recall.accuracy_by`, by column."""
    if not tables:
        raise NothingToDraw("no answer follows an earlier token like its question")
    alike = [DIFFICULTIES.get(column, column) for column, table in tables.items() if len(table) == 1]
    tables = {column: table for column, table in tables.items() if len(table) > 1}
    if not tables:
        raise NothingToDraw("all questions are equally hard")
    figure = Figure(figsize=(PAGE_WIDTH, 2.2), layout="constrained")
    axes = figure.subplots(1, len(tables), squeeze=False, sharey=True)[0]
    for ax, (column, table) in zip(axes, tables.items(), strict=True):
        ax.errorbar(table[column], table["accuracy"], 1.96 * table["error"], color=COLORS[0], marker="o")
        if "at_once" in table:
            ax.plot(
                table[column], table["at_once"], color="0.4", linestyle="--", marker=".", label="asked at once"
            )
        ax.axhline(chance, **CHANCE)
        ax.set_xlabel(DIFFICULTIES.get(column, column))
        accuracy_axis(ax)
    axes[0].set_ylabel("Recall accuracy")
    axes[0].legend()
    frame = pd.concat(
        [table.rename(columns={column: "value"}).assign(difficulty=column) for column, table in tables.items()]
    )
    caption = (
        "Accuracy on test sequences by how far back the answer lies, and by what was written since; bars are 95 % "
        "intervals over questions. Grey: the same questions asked right after the "
        "answer was written. What lies between the two was captured and then lost."
    )
    notes = [f"every question has the same number of {name[0].lower() + name[1:]}" for name in alike]
    return Drawing(frame.reset_index(drop=True), figure, caption, notes)


def name_tokens(axis: Axis, tokens: Sequence[str], rotation: float = 0) -> None:
    """Writes the tokens along an axis of positions, unless they are too many."""
    if len(tokens) <= _MOST_NAMES:
        axis.set_ticks(range(len(tokens)), tokens, rotation=rotation, fontsize=5)


def render_inside(title: str, about: str, drawings: Mapping[str, Drawing], notes: Sequence[str]) -> str:
    """The page of a look inside as HTML, with the figures embedded."""
    return render("inside.html.j2", title=title, about=about, figures=embedded(drawings), notes=notes)
