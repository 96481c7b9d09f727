"""Chapters on what a sequence costs: by length, token by token, and when its memory is handed over."""

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
    slider,
    title_of,
)

CROSSOVER = "experiments/cost_crossover"
MACHINES = {"attention": ATTENTION, "recurrence": RECURRENCE}
RECURRENCES = ["retnet", "gla", "mamba2", "gated_deltanet", "rwkv7"]
MEASURES = {
    "bytes carried": "bytes carried from token to token",
    "FLOPs of reading a sequence": "operations to read the whole sequence",
    "time per token, training": "seconds per token in training",
    "time per token, decoding": "seconds to write one more token",
}
"""The quantities of the first chapter, as crossovers.csv names them."""
LONGEST = 16384
"""Tokens at the right end of the first chart."""
UNITS = dict(zip(MEASURES, ("B", "", "s", "s"), strict=True))

COST_COMMAND = """uv run sandbox-cost mixer=softmax,retnet,gla,mamba2,gated_deltanet,rwkv7 \\
  'model.layout=[mixer]' \\
  --lengths 64 128 256 512 1024 2048 4096 8192 --contexts 64 128 256 512 1024 2048 4096 8192 16384 \\
  --time training prefill decoding --repeats 21 --out experiments/cost_crossover"""


def _curves(frames: Frames) -> pd.DataFrame:
    """Every quantity by series and length."""
    costs, states = frames["costs"], frames["states"]
    carried = states[(states["state_kind"] == "all") & states["length"].between(1, LONGEST)]
    prefill = costs[costs["phase"] == "prefill"]
    parts = [
        carried.assign(measure="bytes carried", value=carried["bytes"]),
        prefill.assign(
            measure="FLOPs of reading a sequence", value=prefill["flops_per_token"] * prefill["length"]
        ),
        *(
            costs[costs["phase"] == phase].assign(
                measure=f"time per token, {phase}", value=costs["median_seconds"]
            )
            for phase in ("training", "decoding")
        ),
    ]
    return pd.concat(parts)[["series", "length", "measure", "value"]].reset_index(drop=True)


def _two_curves(frames: Frames) -> alt.TopLevelMixin:
    """Two lines on logarithmic axes, where they cross, and their values at the length of the slider."""
    chosen = "datum.measure == measure && (datum.series == 'softmax' || datum.series == mixer)"
    base = (
        alt.Chart(_curves(frames))
        .transform_filter(chosen)
        .transform_calculate(machine="datum.series == 'softmax' ? 'attention' : 'recurrence'")
    )
    axis = quantities(UNITS, "measure")
    first = alt.expr("measure == 'bytes carried' ? 1 : 64")
    x = alt.X("length:Q", title="tokens in the sequence", scale=log_scale(first, LONGEST))
    with_room = alt.Scale(type="log", nice=False, padding=24)  # for the numbers at the circles
    y = alt.Y("value:Q", scale=with_room, axis=axis)
    color = alt.Color("machine:N", scale=choices(MACHINES), title=None)
    here = base.transform_filter("datum.length == pow(2, doublings)")
    text = here.transform_calculate(text=f"format(datum.value, '.3~s') + {looked_up(UNITS, 'measure')}")
    found = alt.Chart(frames["crossovers"]).transform_filter("datum.measure == measure && datum.series == mixer")
    crossing = found.transform_filter("isValid(datum.length)").transform_calculate(
        text="'cross at ' + format(datum.length, ',.0f') + ' tokens'"
    )
    apart = found.transform_filter("!isValid(datum.length)").transform_calculate(
        text="'the recurrence costs less ' + datum.cheaper"
    )
    layers = (
        base.mark_line(point=True).encode(x=x, y=y, color=color, tooltip=["series:N", "length:Q", "value:Q"]),
        crossing.mark_rule(strokeDash=[4, 4], color="#555").encode(x="length:Q"),
        crossing.mark_text(align="left", dx=4, y=10, color="#333").encode(x="length:Q", text="text:N"),
        apart.mark_text(align="left", color="#333").encode(x=alt.value(8), y=alt.value(10), text="text:N"),
        here.mark_point(size=160, strokeWidth=2).encode(x=x, y=y, color=color),
        text.mark_text(align="right", dx=-10, dy=-10, fontSize=13).encode(x=x, y=y, text="text:N", color=color),
    )
    title = title_of(looked_up(MEASURES, "measure"), "'circles: ' + format(pow(2, doublings), ',') + ' tokens'")
    return (
        alt.layer(*layers)
        .properties(width="container", height=320, title=title)
        .add_params(
            select("measure", "what to count", list(MEASURES), list(MEASURES.values())),
            select("mixer", "which recurrence", RECURRENCES),
            slider("doublings", "length, as a power of two", 6, 13, 10),
        )
    )


def _two_curves_numbers(frames: Frames) -> Mapping[str, Any]:
    costs, crossing = frames["costs"].set_index(["series", "phase", "length"]).sort_index(), frames["crossovers"]
    retnet = crossing[crossing["series"] == "retnet"].set_index("measure")
    seconds = costs["median_seconds"]
    contexts = costs.loc[("softmax", "decoding")].index
    return {
        "crossing": {measure: retnet.loc[measure] for measure in list(MEASURES)[:3]},
        "shortest": contexts.min(),
        "longest": contexts.max(),
        "decoding": {
            series: [seconds[series, "decoding", length] for length in (contexts.min(), contexts.max())]
            for series in ("softmax", "retnet")
        },
        "training": {series: seconds[series, "training", contexts.min()] for series in ("softmax", "retnet")},
    }


TWO_CURVES = Chapter(
    name="two_curves",
    title="Two cost curves, and where they cross",
    tables=(f"{CROSSOVER}/costs.csv", f"{CROSSOVER}/states.csv", f"{CROSSOVER}/crossovers.csv"),
    commands=(COST_COMMAND,),
    chart=_two_curves,
    numbers=_two_curves_numbers,
    rows=lambda frames: frames["crossovers"],
)


def _simulator(frames: Frames) -> alt.TopLevelMixin:
    """A box for the bytes of one cached token, and a bar for its operations so far."""
    frame, cell = frames["tokens"], _cell(frames["tokens"])
    frame = frame.assign(so_far=frame.groupby("model")["operations"].cumsum())
    parameter = slider("token", "tokens written", 1, int(frame["token"].max()), 40)
    here = alt.Chart(frame).transform_filter("datum.token == token")
    color = alt.Color("model:N", scale=choices(MACHINES), title=None)
    held = (
        here.transform_calculate(cells=f"sequence(round(datum.bytes / {cell}))")
        .transform_flatten(["cells"])
        .transform_calculate(column="datum.cells % 32", row="floor(datum.cells / 32)")
        .transform_calculate(right="datum.column + 0.85", below="datum.row + 0.85")
        .mark_rect()
        .encode(
            x=alt.X("column:Q", axis=None, scale=alt.Scale(domain=[0, 32])),
            x2="right:Q",
            y=alt.Y("row:Q", axis=None, scale=alt.Scale(domain=[0, 8], reverse=True)),
            y2="below:Q",
            color=color,
        )
    )
    boxes = [
        held.transform_filter(f"datum.model == '{name}'").properties(
            width="container", height=90, title=f"held by {name}: a box is {cell} bytes"
        )
        for name in MACHINES
    ]
    largest = float(frame["so_far"].max())
    bar = here.encode(
        x=alt.X(
            "so_far:Q",
            title="operations so far",
            scale=alt.Scale(domain=[0, largest * 1.25], nice=False),
            axis=alt.Axis(format="~s", tickCount=6),
        ),
        y=alt.Y("model:N", title=None),
    )
    bars = alt.layer(
        bar.mark_bar().encode(color=alt.Color("model:N", scale=choices(MACHINES), legend=None)),
        bar.mark_text(align="left", dx=4).encode(text=alt.Text("so_far:Q", format=".3~s")),
    ).properties(width="container", height=90)
    return alt.vconcat(*boxes, bars).add_params(parameter)


def _cell(tokens: pd.DataFrame) -> int:
    """Bytes that attention adds for each token."""
    held = tokens[tokens["model"] == "attention"]["bytes"]
    return int(held.diff().iloc[-1])


def _simulator_numbers(frames: Frames) -> Mapping[str, Any]:
    by_token = frames["tokens"].set_index(["model", "token"]).sort_index()
    last = int(frames["tokens"]["token"].max())
    attention, recurrence, cell = by_token.loc["attention"], by_token.loc["recurrence"], _cell(frames["tokens"])
    more = attention.loc[last, "operations"] - attention.loc[last - 1, "operations"]
    return {
        "last": last,
        "cell": cell,
        "attention": attention,
        "recurrence": recurrence,
        "more": more,
        "at_any_length": (attention.loc[1, "operations"] - more) * last / attention["operations"].sum(),
        "same": int((attention["bytes"] // cell * cell <= recurrence["bytes"]).sum()),
        "totals": {name: rows["operations"].sum() for name, rows in by_token.groupby("model")},
    }


def _simulator_rows(frames: Frames) -> pd.DataFrame:
    frame = frames["tokens"]
    frame = frame.assign(operations_so_far=frame.groupby("model")["operations"].cumsum())
    shown = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256)
    return frame[frame["token"].isin(shown)].rename(columns={"operations": "operations_of_this_token"})


SIMULATOR = Chapter(
    name="simulator",
    title="Both machines, token by token",
    tables=("tokens",),
    commands=("uv run python docs/lesson/measure.py tokens",),
    chart=_simulator,
    numbers=_simulator_numbers,
    rows=_simulator_rows,
)


def _handing_over(frames: Frames) -> alt.TopLevelMixin:
    """The bytes that each model hands over, at the length of the slider."""
    states = frames["states"]
    frame = states[(states["state_kind"] == "all") & states["length"].isin([4**power for power in range(11)])]
    order = ["softmax", *RECURRENCES]
    here = (
        alt.Chart(frame)
        .transform_filter("datum.length == pow(4, power)")
        .transform_calculate(
            machine="datum.series == 'softmax' ? 'attention' : 'recurrence'",
            text="format(datum.bytes, '.3~s') + 'B'",
            least="100",
        )
        .encode(
            y=alt.Y("series:N", sort=order, title=None),
            x=alt.X(
                "bytes:Q",
                title="bytes to hand over",
                scale=log_scale(100, float(frame["bytes"].max()) * 50),
                axis=alt.Axis(labelExpr="format(datum.value, '~s') + 'B'", tickCount=6),
            ),
            color=alt.Color("machine:N", scale=choices(MACHINES), title=None),
        )
    )
    layers = (
        here.mark_rule(strokeWidth=3).encode(x2="least:Q"),
        here.mark_point(filled=True, size=120, opacity=1),
        here.mark_text(align="left", dx=10).encode(text="text:N"),
    )
    return (
        alt.layer(*layers)
        .properties(
            width="container",
            height=220,
            title=title_of("'a prompt of ' + format(pow(4, power), ',') + (power ? ' tokens' : ' token')"),
        )
        .add_params(slider("power", "length of the prompt, as a power of four", 0, 10, 5))
    )


def _handing_over_numbers(frames: Frames) -> Mapping[str, Any]:
    costs = frames["costs"].set_index(["series", "phase", "length"]).sort_index()["median_seconds"]
    states = frames["states"]
    held = states[states["state_kind"] == "all"].set_index(["series", "length"]).sort_index()["bytes"]
    handed = frames["handing_over"]
    return {
        "held": held,
        "recurrences": {length: [held[name, length] for name in RECURRENCES] for length in (64, 16384)},
        "largest": (handed["difference"] / handed["largest_logit"]).max(),
        "prompts": sorted(handed["prompt"].unique()),
        "prefill": {series: costs[series, "prefill", 8192] for series in ("softmax", "retnet")},
        "decoding": costs["retnet", "decoding", 8192],
    }


HANDING_OVER = Chapter(
    name="handing_over",
    title="What the reader of a prompt hands over",
    tables=(f"{CROSSOVER}/states.csv", f"{CROSSOVER}/costs.csv", "handing_over"),
    commands=(COST_COMMAND, "uv run python docs/lesson/measure.py handing_over"),
    chart=_handing_over,
    numbers=_handing_over_numbers,
    rows=lambda frames: (
        frames["states"][frames["states"]["state_kind"] == "all"]
        .pivot(index="series", columns="length", values="bytes")
        .loc[["softmax", *RECURRENCES], [1, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576]]
        .reset_index()
    ),
)
