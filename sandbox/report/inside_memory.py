"""Figures of the memories of one trained model; each takes a table of what it shows (see `sandbox.probes`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sandbox.report.drawing import Drawing, NothingToDraw
from sandbox.report.inside import MOST_LAYERS, name_tokens
from sandbox.report.style import COLORS, PAGE_WIDTH, accuracy_axis

_MOST_VALUES = 12  # singular values that have a line of their own


def held_figure(held: pd.DataFrame) -> Drawing:
    """What a linear probe finds in each memory: the table of `sandbox.probes.linear_probe.held_answers`."""
    if held.empty:
        raise NothingToDraw("no layer has a recurrent memory, or no answer is written often enough for a probe")
    figure, ax = _one_panel()
    for number, (layer, rows) in enumerate(held.groupby("layer")):
        color, bars = COLORS[number % len(COLORS)], 1.96 * rows["error"]
        ax.errorbar(rows["way"], rows["accuracy"], bars, color=color, marker="o", label=_layer_name(layer))
    ax.set_xlabel("Way from where the answer is written (0) to where it is asked (1)")
    ax.set_ylabel("Answers found")
    accuracy_axis(ax)
    ax.legend()
    caption = (
        "Is the answer in the memory? A linear classifier looks for it in what the layer would give if it were "
        "asked then, from when the answer has just been written (left: captured) until it is asked (right: "
        "retained); bars are 95 % intervals over questions. A line that falls is forgetting; one that rises says "
        "that what lay in the way of the answer has decayed since."
    )
    return Drawing(held, figure, caption)


def rank_figure(ranks: pd.DataFrame, rows: Mapping[int, int]) -> Drawing:
    """Effective rank of each memory over time: columns `layer`, `position`, `rank`; `rows` are those of a head."""
    _check(ranks)
    figure, ax = _one_panel()
    for number, layer in enumerate(sorted(rows)):
        part, color = ranks[ranks["layer"] == layer], COLORS[number % len(COLORS)]
        ax.plot(part["position"] + 1, part["rank"], color=color, label=_layer_name(layer))
        ax.axhline(rows[layer], color=color, linewidth=0.7, linestyle=":")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Tokens read")
    ax.set_ylabel("Effective rank")
    ax.legend()
    caption = (
        "Directions that the memory of a head uses, the exponential of the entropy of its singular values; the "
        "dotted line is the number of its rows, which it cannot exceed."
    )
    return Drawing(ranks, figure, caption)


def singular_values_figure(values: pd.DataFrame) -> Drawing:
    """Singular values of each memory over time: columns `layer`, `position`, `number` from 1, `value`."""
    _check(values)
    layers = _last_layers(values)
    figure = Figure(figsize=(PAGE_WIDTH, 2.2), layout="constrained")
    axes = figure.subplots(1, len(layers), squeeze=False, sharey=True)[0]
    most = min(_MOST_VALUES, int(values["number"].max()))
    for ax, layer in zip(axes, layers, strict=True):
        shown = values[(values["layer"] == layer) & (values["number"] <= most)]
        for number, rows in enumerate(rows for _, rows in shown.groupby("number")):
            shade = str(0.75 * number / most)
            ax.plot(rows["position"] + 1, rows["value"], color=shade, linewidth=0.8 if number else 1.6)
        ax.set_title(_layer_name(layer).capitalize())
        ax.set_xlabel("Tokens read")
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("Singular value")
    caption = (
        "Singular values of the memory of a head, the largest in black, averaged over sequences and heads"
        + (f" (the first {_MOST_VALUES})" if values["number"].max() > _MOST_VALUES else "")
        + ": each is how strongly the memory holds one direction. Lines that lie together are pairs that are held "
        "alike; one far above the rest is a direction that every key shares."
    )
    return Drawing(values, figure, caption)


def writes_figure(writes: pd.DataFrame, tokens: Sequence[str]) -> Drawing:
    """What each token of one sequence changes: columns `layer`, `position`, `own_key`, `others`."""
    _check(writes)
    layers = _last_layers(writes)
    figure = Figure(figsize=(PAGE_WIDTH, 0.8 + 1.2 * len(layers)), layout="constrained")
    axes = figure.subplots(len(layers), 1, squeeze=False, sharex=True)[:, 0]
    for ax, layer in zip(axes, layers, strict=True):
        rows = writes[writes["layer"] == layer]
        ax.bar(rows["position"], rows["own_key"], color=COLORS[0], label="along its own key")
        ax.bar(rows["position"], rows["others"], bottom=rows["own_key"], color=COLORS[1], label="along others")
        ax.set_ylabel(f"{_layer_name(layer)}\nshare changed")
        ax.set_ylim(0, min(1.5, 1.05 * float((rows["own_key"] + rows["others"]).max())))
    axes[0].legend()
    name_tokens(axes[-1].xaxis, tokens, rotation=90.0)
    axes[-1].set_xlabel("token that is read")
    caption = (
        "What one token changes in the memory, as a share of its squared size afterwards. Along its own key a "
        "token writes, and overwrites what was there; what changes along other keys is decay, which all that was "
        "written before pays for."
    )
    return Drawing(writes, figure, caption)


def keys_figure(alike: pd.DataFrame, tokens: Sequence[str]) -> Drawing:
    """How alike the keys of one sequence are: columns `layer`, `token`, `other`, `cosine` without its sign."""
    _check(alike)
    layers = _last_layers(alike)
    panel = PAGE_WIDTH / max(2, len(layers))
    figure = Figure(figsize=(panel * len(layers) + 0.6, 0.5 + 0.9 * panel), layout="constrained")
    axes = figure.subplots(1, len(layers), squeeze=False)[0]
    for ax, layer in zip(axes, layers, strict=True):
        matrix = alike[alike["layer"] == layer].pivot(index="token", columns="other", values="cosine").to_numpy()
        image = ax.imshow(matrix, cmap="Greys", vmin=0, vmax=1)
        ax.set_title(_layer_name(layer).capitalize())
        ax.set_xlabel("key of this token")
        name_tokens(ax.xaxis, tokens, rotation=90.0)
        name_tokens(ax.yaxis, tokens)
        ax.grid(visible=False)
    axes[0].set_ylabel("and of this one")
    bar = figure.colorbar(image, ax=list(axes), shrink=0.6, pad=0.02, label="|cosine|")
    bar.outline.set_visible(False)
    caption = (
        "Interference: how alike the keys of two tokens are, averaged over heads. What is written with one key is "
        "read with another by as much as they are alike, so that dark cells off the diagonal are what a memory "
        "confuses, unless both tokens are the same."
    )
    return Drawing(alike, figure, caption)


def _check(table: pd.DataFrame) -> None:
    if table.empty:
        raise NothingToDraw("no layer has a matrix memory")


def _one_panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(PAGE_WIDTH, 2.2), layout="constrained")
    return figure, figure.subplots()


def _last_layers(table: pd.DataFrame) -> list[int]:
    return [int(layer) for layer in sorted(table["layer"].unique())[-MOST_LAYERS:]]


def _layer_name(layer: Any) -> str:
    return f"layer {layer + 1}"
