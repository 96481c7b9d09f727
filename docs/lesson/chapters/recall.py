"""Chapters on what is recalled and by which member of the family."""

import re
from collections.abc import Hashable, Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from chapters.chapter import ATTENTION, RECURRENCE, Chapter, Frames, choices, log_scale, select, slider, title_of
from sandbox.report.recommend import recommend
from sandbox.report.style import COLORS

MODELS = {
    "softmax attention": COLORS[3],
    "delta rule": COLORS[0],
    "linear, no decay": COLORS[2],
    "linear, scalar decay": COLORS[1],
    "linear, channel decay": COLORS[4],
}


def _more_pairs(frames: Frames) -> alt.TopLevelMixin:
    """Recall against the number of pairs, with intervals."""
    frame = _by_pairs(frames)
    base = alt.Chart(frame).transform_filter("!isValid(datum.rows) || datum.rows == rows")
    x = alt.X("pairs:O", title="pairs in the sequence", axis=alt.Axis(labelAngle=0))
    color = alt.Color("label:N", scale=choices(MODELS), title=None)
    shift = alt.XOffset("label:N", scale=alt.Scale(domain=list(MODELS), paddingInner=0.5))
    y = alt.Y("accuracy:Q", title="right answers", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    tooltip = [
        "label:N",
        "pairs:O",
        *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("accuracy", "low", "high")),
    ]
    layers = (
        base.mark_rule().encode(x=x, xOffset=shift, y=alt.Y("low:Q"), y2="high:Q", color=color),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            x=x, xOffset=shift, y=y, color=color, tooltip=tooltip
        ),
        base.transform_aggregate(chance="mean(chance)")
        .mark_rule(strokeDash=[4, 3], color="#777")
        .encode(y="chance:Q"),
    )
    return (
        alt.layer(*layers)
        .properties(
            width="container",
            height=300,
            title=title_of("'fixed states of ' + rows + ' rows, and attention'"),
        )
        .add_params(select("rows", "rows of the state", [8, 16, 32]))
    )


def _by_pairs(frames: Frames) -> pd.DataFrame:
    frame = frames["heatmap"]
    frame = frame[frame["slice"].str.startswith("pairs=")]
    frame = frame.assign(pairs=frame["slice"].str.removeprefix("pairs=").astype(int), rows=frame["mixer.d_state"])
    columns = ["label", "rows", "state_bytes", "pairs", "accuracy", "low", "high", "chance", "num_seeds"]
    return frame[columns].round(4)


def _more_pairs_numbers(frames: Frames) -> Mapping[str, Any]:
    by = _by_pairs(frames).set_index(["label", "rows", "pairs"]).sort_index()
    linear = by.loc["linear, no decay"]
    softmax = by.loc["softmax attention"].droplevel("rows")
    delta = by.loc["delta rule"]
    return {
        "few": linear.loc[(8, 4)],
        "many": linear.loc[(8, 16)],
        "large": linear.loc[(32, 16)],
        "delta": delta.loc[(32, 16)],
        "softmax": softmax.loc[16],
        "seeds": int(by["num_seeds"].max()),
        "chance": by["chance"].max(),
    }


MORE_PAIRS = Chapter(
    name="more_pairs",
    title="More pairs than the state can hold",
    tables=("experiments/quickstart/heatmap.csv",),
    commands=("uv run sandbox experiment=quickstart",),
    chart=_more_pairs,
    numbers=_more_pairs_numbers,
    rows=_by_pairs,
)

FORGETTING = {
    "none": "keeps all",
    "forgets": "by position",
    "fixed": "fixed rate",
    "learned": "learned rate",
    "data": "set by each token",
    "dependent": "set by each token",
    "a": "as you choose",
}
"""The first word of a card on forgetting -> its column in the map."""
OTHER = "otherwise"
GROWS = {"grows with the sequence": ATTENTION, "of fixed size": RECURRENCE}


def _family(frames: Frames) -> alt.TopLevelMixin:
    """Each mixer by how it forgets and by the bytes of its state at the length of the slider."""
    frame = _of_family(frames)
    columns = list(dict.fromkeys([*FORGETTING.values(), OTHER]))
    columns = [name for name in columns if name in set(frame["forgetting"])]
    x = alt.X("forgetting:O", sort=columns, title="how forgetting is decided", axis=alt.Axis(labelAngle=-30))
    y = alt.Y(
        "bytes:Q",
        title="bytes of state",
        scale=log_scale(100, 2 * float(frame["bytes"].max())),
        axis=alt.Axis(labelExpr="format(datum.value, '~s') + 'B'", tickCount=6),
    )
    here = alt.Chart(frame).transform_filter("datum.length == pow(2, power)")
    most = frame.groupby("forgetting")["mixer"].nunique().max()
    shift = alt.XOffset("place:O", scale=alt.Scale(domain=list(range(most))))
    color = alt.Color("state:N", scale=choices(GROWS), title="state")
    points = here.mark_point(filled=True, size=90).encode(
        x=x,
        y=y,
        xOffset=shift,
        color=color,
        opacity=alt.when("marked == 'all' || datum.mixer == marked")
        .then(alt.value(0.85))
        .otherwise(alt.value(0.15)),
        tooltip=["mixer:N", "forgets:N", "equation:N", alt.Tooltip("bytes:Q", format=",")],
    )
    after = "'after ' + format(pow(2, power), ',') + ' tokens' + (marked == 'all' ? '' : ': ' + marked)"
    return points.properties(width="container", height=360, title=title_of(after)).add_params(
        slider("power", "length, as a power of two", 6, 13, 10),
        select("marked", "mark", ["all", *sorted(frame["mixer"].unique())]),
    )


def _of_family(frames: Frames) -> pd.DataFrame:
    """A table row per mixer and length."""
    wide = frames["family"]
    first = wide["forgets"].map(lambda text: re.split(r"\W", text)[0])
    wide = wide.assign(forgetting=first.map(FORGETTING).fillna(OTHER))
    of_column = wide.groupby("forgetting")["mixer"]
    most = of_column.transform("count").max()
    wide["place"] = of_column.cumcount() + (most - of_column.transform("count")) // 2  # the middle of its column
    sizes = [name for name in wide if name.startswith("bytes at ")]
    grows = wide[sizes[-1]] > wide[sizes[0]]
    wide["state"] = np.where(grows, *GROWS)
    keys = ["mixer", "forgets", "equation", "forgetting", "place", "state"]
    long = wide.melt(keys, sizes, "length", "bytes")
    return long.assign(length=long["length"].str.removeprefix("bytes at ").astype(int))


def _family_numbers(frames: Frames) -> Mapping[str, Any]:
    frame = _of_family(frames)
    once = frame[frame["length"] == frame["length"].max()]
    growing = once[once["state"] == next(iter(GROWS))]
    by = frame.set_index(["mixer", "length"]).sort_index()["bytes"]
    return {
        "mixers": len(once),
        "growing": len(growing),
        "growing_names": sorted(growing["mixer"]),
        "by_data": int((once["forgetting"] == FORGETTING["data"]).sum()),
        "bytes": by,
        "shortest": int(frame["length"].min()),
        "longest": int(frame["length"].max()),
        "smallest": once.loc[once["bytes"].idxmin()],
        "largest_fixed": once[once["state"] != next(iter(GROWS))].sort_values("bytes").iloc[-1],
    }


FAMILY = Chapter(
    name="family",
    title="The map of the family",
    tables=("family",),
    commands=("uv run python docs/lesson/measure.py family",),
    chart=_family,
    numbers=_family_numbers,
    rows=lambda frames: frames["family"],
)

NEEDED = (0.5, 0.7, 0.9, 0.95, 0.99, 0.999)
NOTHING = "nothing measured reaches it"
SERIES = {
    "softmax attention": COLORS[3],
    "window of 16 tokens": COLORS[4],
    "linear attention": COLORS[2],
    "delta rule": COLORS[0],
    NOTHING: "#ffffff",
}


def _which_model(frames: Frames) -> alt.TopLevelMixin:
    """The cheapest model for each length and needed recall, within what the slider allows."""
    frame = _recommended(frames)
    base = alt.Chart(frame).encode(
        x=alt.X("length:O", title="tokens (and a quarter as many pairs)", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("needed:O", title="recall needed", sort="descending", axis=alt.Axis(format="~%")),
    )
    affordable = alt.when("datum.bytes <= pow(2, budget) * 1000 || !isValid(datum.bytes)")
    cells = base.mark_rect(stroke="#999").encode(
        color=alt.Color("series:N", scale=choices(SERIES), title=None),
        opacity=affordable.then(alt.value(0.75)).otherwise(alt.value(0.08)),
        tooltip="about:N",
    )
    text = base.mark_text(fontSize=11, lineBreak="\n", dy=-5).encode(
        text="text:N", opacity=affordable.then(alt.value(1)).otherwise(alt.value(0.3))
    )
    return (
        alt.layer(cells, text)
        .properties(
            width="container",
            height=300,
            title=title_of("'the cheapest, and what it carries'", "'faded: above ' + pow(2, budget) + ' kB'"),
        )
        .add_params(slider("budget", "kB that may be carried, as a power of two", 0, 6, 6))
    )


def _recommended(frames: Frames) -> pd.DataFrame:
    found = recommend(frames["lengths"], NEEDED)
    found["series"] = found["model"].str.replace(r", \d+ rows", "", regex=True).fillna(NOTHING)
    found = found.rename(columns={"at": "length", "recall": "needed", "cost": "bytes"})
    found[["text", "about"]] = [_in_words(row) for row in found.to_dict("records")]
    columns = ["length", "needed", "series", "model", "bytes", "text", "about", "accuracy", "num_seeds"]
    return found[columns].astype({"length": int})


def _in_words(row: Mapping[Hashable, Any]) -> tuple[str, str]:
    """What stands in a field, the size of the model and its bytes, and what a pointer over it says."""
    if row["bytes"] != row["bytes"]:
        return "", NOTHING
    size, rows = f"{row['bytes'] / 1000:.2g} kB", re.search(r"\d+ rows", row["model"])
    about = f"{row['model']}: {size}, recalls {row['accuracy']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
    return f"{rows[0]}\n{size}" if rows else size, about


def _which_model_numbers(frames: Frames) -> Mapping[str, Any]:
    found = _recommended(frames).set_index(["length", "needed"]).sort_index()
    points = frames["lengths"]
    at_longest = points[points["at"] == points["at"].max()].set_index("model")[["accuracy", "low", "high"]]
    return {
        "found": found,
        "seeds": int(points["num_seeds"].max()),
        "steps": int(points["steps"].max()),
        "lengths": sorted(points["at"].unique()),
        "models": points["model"].nunique(),
        "empty": int((found["series"] == NOTHING).sum()),
        "all": len(found),
        "points": points.set_index(["model", "at"]).sort_index(),
        "delta": tuple(at_longest.loc["delta rule, 8 rows"]),
        "linear": tuple(at_longest.loc["linear attention, 8 rows"]),
    }


WHICH_MODEL = Chapter(
    name="which_model",
    title="Which model for which need",
    tables=("lengths",),
    commands=("uv run python docs/lesson/measure.py lengths",),
    chart=_which_model,
    numbers=_which_model_numbers,
    rows=lambda frames: frames["lengths"],
)
