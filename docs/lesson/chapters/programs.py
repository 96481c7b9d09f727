"""Chapters on the arithmetic itself: the square, the other order of the product, and chunks of tokens."""

import json
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from chapters.chapter import (
    ATTENTION,
    RECURRENCE,
    Chapter,
    Frames,
    choices,
    log_scale,
    looked_up,
    quantities,
    select,
    title_of,
)
from sandbox.report.style import COLORS

SCORES, TABLE = "scores, n by n", "table, d by d"
PRODUCTS = {SCORES: ATTENTION, TABLE: RECURRENCE}
SIDE = 260
"""Pixels of the picture in which squares must be square, whatever the width of the window."""


def _square(frames: Frames) -> alt.TopLevelMixin:
    """Both results drawn to scale, and the multiplications in each."""
    frame = frames["square"]
    frame = frame.assign(
        product=frame["product"].map({"scores": SCORES, "memory": TABLE}),
        side=frame["numbers"] ** 0.5,
        zero=0,
    )
    here = alt.Chart(frame).transform_filter("datum.n == n && datum.d == d")
    color = alt.Color("product:N", scale=choices(PRODUCTS), title=None)
    largest = alt.Scale(domain=[0, int(frame["n"].max())], nice=False)
    squares = (
        here.mark_rect(opacity=0.75, stroke="white")
        .encode(
            x=alt.X("zero:Q", title="columns", scale=largest, axis=alt.Axis(tickCount=5)),
            x2="side",
            y=alt.Y("zero:Q", title="rows", scale=largest, axis=alt.Axis(tickCount=5)),
            y2="side",
            color=color,
            order=alt.Order("side:Q", sort="descending"),
            tooltip=["product:N", "numbers:Q", "multiplications:Q"],
        )
        .properties(width=SIDE, height=SIDE, title=title_of("'numbers to compute, drawn to scale'"))
    )
    bar = here.encode(
        x=alt.X(
            "multiplications:Q",
            title="multiplications (logarithmic)",
            scale=log_scale(1e4, 1e11),
            axis=alt.Axis(format="~s", values=[1e4, 1e6, 1e8, 1e10]),
        ),
        y=alt.Y("product:N", title=None, sort=list(PRODUCTS), axis=None),
    )
    bars = alt.layer(
        bar.transform_calculate(least="1e4").mark_bar().encode(x2="least:Q", color=color),
        bar.mark_text(align="left", dx=4).encode(text=alt.Text("multiplications:Q", format=".3~s")),
    ).properties(width=SIDE, height=80)
    ns, ds = sorted(frame["n"].unique().tolist()), sorted(frame["d"].unique().tolist())
    return alt.vconcat(squares, bars).add_params(
        select("n", "tokens n", [1000, *(n for n in ns if n != 1000)]),
        select("d", "numbers d in a query", [64, *(d for d in ds if d != 64)]),
    )


def _square_numbers(frames: Frames) -> Mapping[str, Any]:
    counted = frames["square"].set_index(["n", "d", "product"]).sort_index()
    return {
        "counted": counted["multiplications"],
        "numbers": counted["numbers"],
        "twice": counted.loc[(2000, 64, "scores"), "multiplications"]
        / counted.loc[(1000, 64, "scores"), "multiplications"],
    }


SQUARE = Chapter(
    name="square",
    title="Where the square comes from",
    tables=("square",),
    commands=("uv run python docs/lesson/measure.py square",),
    chart=_square,
    numbers=_square_numbers,
    rows=lambda frames: frames["square"],
)

SOFTMAX = "attention with softmax"
ORDERS = {"(Q Kᵀ) V": ATTENTION, "Q (Kᵀ V)": RECURRENCE, SOFTMAX: COLORS[2]}
QUANTITIES = {
    "multiplications": "multiplications",
    "bytes": "bytes held at once",
    "seconds": "seconds",
    "difference": "largest difference from Q (Kᵀ V)",
}
UNITS = dict(zip(QUANTITIES, ("", "B", "s", ""), strict=True))


def _two_orders(frames: Frames) -> alt.TopLevelMixin:
    """One quantity of both orders against the number of tokens."""
    frame = frames["orders"]
    long = frame.melt(["n", "order"], list(QUANTITIES)[:3], "quantity", "value")
    first = frame[frame["order"] == "(Q Kᵀ) V"]
    off = first.assign(quantity="difference", value=first["difference"])
    softmax = first.assign(quantity="difference", value=first["difference_of_softmax"], order=SOFTMAX)
    long = pd.concat([long, off, softmax])[["n", "order", "quantity", "value"]]
    products = [name for name in ORDERS if name != SOFTMAX]
    drawn = f"quantity == 'difference' ? {json.dumps([products[0], SOFTMAX])} : {json.dumps(products)}"
    return (
        alt.Chart(long)
        .transform_filter("datum.quantity == quantity")
        .mark_line(point=True)
        .encode(
            x=alt.X("n:Q", title="tokens n", scale=log_scale()),
            y=alt.Y("value:Q", scale=log_scale(), axis=quantities(UNITS, "quantity", "difference")),
            color=alt.Color(
                "order:N", scale=choices(ORDERS), title=None, legend=alt.Legend(values=alt.expr(drawn))
            ),
            tooltip=["order:N", "n:Q", "value:Q"],
        )
        .properties(width="container", height=300, title=title_of(looked_up(QUANTITIES, "quantity")))
        .add_params(select("quantity", "what to compare", list(QUANTITIES), list(QUANTITIES.values())))
    )


def _two_orders_numbers(frames: Frames) -> Mapping[str, Any]:
    by = frames["orders"].set_index(["order", "n"]).sort_index()
    first, second = by.loc["(Q Kᵀ) V"], by.loc["Q (Kᵀ V)"]
    longest, shortest = int(first.index.max()), int(first.index.min())
    return {
        "d": int(first["d"].iloc[0]),
        "rounds": int(first["rounds"].iloc[0]),
        "first": first,
        "second": second,
        "longest": longest,
        "shortest": shortest,
        "difference": first["difference"].max(),
        "softmax": (first["difference_of_softmax"].min(), first["difference_of_softmax"].max()),
        "faster": second.loc[longest, ["speed", "speed_low", "speed_high"]].tolist(),
    }


TWO_ORDERS = Chapter(
    name="two_orders",
    title="The same product in another order",
    tables=("orders",),
    commands=("uv run python docs/lesson/measure.py orders",),
    chart=_two_orders,
    numbers=_two_orders_numbers,
    rows=lambda frames: frames["orders"],
)


def _chunks(frames: Frames) -> alt.TopLevelMixin:
    """Time per token against the chunk, with the spread of rounds, and the arithmetic below."""
    here = alt.Chart(frames["chunks"]).transform_filter("datum.direction == direction")
    x = alt.X("chunk:Q", title="tokens in a chunk", scale=alt.Scale(type="log", base=2, nice=False))
    colors = dict(zip(frames["chunks"]["decay"].unique(), (COLORS[0], COLORS[1], COLORS[2]), strict=True))
    color = alt.Color("decay:N", scale=choices(colors), title=None, legend=alt.Legend(symbolOpacity=1))
    seconds = alt.Axis(labelExpr="format(datum.value, '~s') + 's'", tickCount=6, title="seconds per token")
    times = alt.layer(
        here.mark_area(opacity=0.2).encode(
            x=x, y=alt.Y("low_seconds:Q", scale=log_scale(), axis=seconds), y2="high_seconds:Q", color=color
        ),
        here.mark_line(point=True).encode(
            x=x, y="seconds:Q", color=color, tooltip=["decay:N", "chunk:Q", "seconds:Q"]
        ),
    ).properties(width="container", height=240, title="time, with four rounds of five in the band")
    counts = (
        here.mark_line(point=True)
        .encode(
            x=x,
            y=alt.Y(
                "operations:Q",
                title="operations per token",
                scale=log_scale(),
                axis=alt.Axis(format="~s", tickCount=5),
            ),
            color=color,
        )
        .properties(width="container", height=140, title="arithmetic, counted in the program")
    )
    return alt.vconcat(times, counts).add_params(
        select("direction", "which way", sorted(frames["chunks"]["direction"].unique(), key=len, reverse=True))
    )


def _chunks_numbers(frames: Frames) -> Mapping[str, Any]:
    frame = frames["chunks"]
    both = frame[frame["direction"] == "forward and backward"].set_index(["decay", "chunk"])
    none = both.loc["no decay"]
    best = none.loc[none["seconds"].idxmin()]
    return {
        "plain": none,
        "setting": frame.iloc[0].to_dict(),
        "best": best,
        "best_chunk": int(none["seconds"].idxmin()),
        "gain": best[["speed", "speed_low", "speed_high"]].tolist(),
        "longest": int(none.index.max()),
        "loss": none.loc[none.index.max(), "seconds"] / best["seconds"],
        "near": {decay: _near_the_best(rows) for decay, rows in both.groupby("decay", sort=False)},
    }


def _near_the_best(rows: pd.DataFrame) -> tuple[int, int]:
    """The smallest and the largest chunk whose median lies within the spread of the fastest."""
    rows = rows.droplevel("decay")
    within = rows.index[rows["seconds"] <= rows.loc[rows["seconds"].idxmin(), "high_seconds"]]
    return int(within.min()), int(within.max())


CHUNKS = Chapter(
    name="chunks",
    title="Several tokens at once",
    tables=("chunks",),
    commands=("uv run python docs/lesson/measure.py chunks",),
    chart=_chunks,
    numbers=_chunks_numbers,
    rows=lambda frames: frames["chunks"],
)
