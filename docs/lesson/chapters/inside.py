"""Chapters that look inside trained models: what is read, and how fast it fades."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from chapters.chapter import ATTENTION, RECURRENCE, Chapter, Frames, select, slider, title_of
from chapters.state import text_of
from sandbox.report.intervals import mean_and_interval

LINEAR, SOFTMAX = "linear attention", "softmax attention"


def _sharp_or_smooth(frames: Frames) -> alt.TopLevelMixin:
    """The rows of two trained models at one question; the temperature changes that of softmax."""
    read, text = _shares(frames), text_of(frames)
    names = ", ".join(f"'{token}'" for token in text["token"])
    axis = alt.Axis(title=None, labelExpr=f"[{names}][datum.value]", labelAngle=0, labelOverlap=False)
    x = alt.X("place:O", axis=axis, scale=alt.Scale(domain=text["place"].tolist()))
    charts = []
    for name, shown in ((SOFTMAX, "datum.raised / datum.total"), (LINEAR, "datum.share")):
        color = ATTENTION if name == SOFTMAX else RECURRENCE
        base = (
            alt.Chart(read[read["model"] == name])
            .transform_filter("datum.question == question")
            .transform_calculate(raised="pow(max(datum.share, 0), 1 / temperature)")
            .transform_joinaggregate(total="sum(raised)")
            .transform_calculate(shown=shown)
        )
        least = 0 if name == SOFTMAX else -1
        y = alt.Y(
            "shown:Q",
            title="share of what is read",
            axis=alt.Axis(format="%", tickCount=5),
            scale=alt.Scale(domain=[least, 1]),
        )
        bars = base.mark_bar(color=color).encode(
            x=x, y=y, tooltip=["token:N", alt.Tooltip("shown:Q", format=".1%")]
        )
        ring = base.transform_filter("datum.place == datum.answer_at").mark_bar(
            fillOpacity=0, stroke="black", strokeWidth=2
        )
        title = f"'{name}, asked for ' + question + '; outlined: its value'"
        charts.append(
            alt.layer(bars, ring.encode(x=x, y=y)).properties(width="container", height=170, title=title_of(title))
        )
    return alt.vconcat(*charts).add_params(
        select("question", "question", ["B", "A", "D", "C"]),
        slider("temperature", "temperature of the softmax (1: as trained)", 0.2, 10, 1, 0.2),
    )


def _shares(frames: Frames) -> pd.DataFrame:
    """Each weight as a share of all weights at its question, signs left aside."""
    read = frames["attention"]
    total = read["weight"].abs().groupby([read["model"], read["question"]]).transform("sum")
    return read.assign(share=(read["weight"] / total).map("{:.5g}".format).astype(float))


def _sharp_or_smooth_numbers(frames: Frames) -> Mapping[str, Any]:
    sharp, scores = frames["sharpness"].groupby("model"), frames["trained"]
    four = scores[scores["slice"] == "pairs=4"].groupby("label")["accuracy"]
    return {
        "on_answer": {name: mean_and_interval(rows["on_answer"]) for name, rows in sharp},
        "negative": {name: mean_and_interval(rows["negative"]) for name, rows in sharp},
        "accuracy": {name: mean_and_interval(four.get_group(name)) for name in (SOFTMAX, LINEAR)},
        "seeds": frames["sharpness"]["seed"].nunique(),
    }


SHARP_OR_SMOOTH = Chapter(
    name="sharp_or_smooth",
    title="Sharp and smooth attention",
    tables=("attention", "sharpness", "trained"),
    commands=("uv run python docs/lesson/measure.py trained attention sharpness",),
    chart=_sharp_or_smooth,
    numbers=_sharp_or_smooth_numbers,
    rows=lambda frames: (
        _shares(frames).pivot(index=["model", "question"], columns="place", values="share").reset_index()
    ),
)

QUIET, OVERWRITTEN = "gated, nothing is overwritten", "gated, a value is overwritten"


def _decay(frames: Frames) -> alt.TopLevelMixin:
    """What is left of a pair by age, at the half-life of the slider, and the half-lives of trained gates."""
    curve = (
        alt.Chart(alt.sequence(0, 65, 1, as_="age"))
        .transform_calculate(kept="pow(2, -datum.age / half_life)")
        .mark_line(color=RECURRENCE, strokeWidth=2.5)
        .encode(
            x=alt.X(
                "age:Q",
                title="tokens since it was written",
                scale=alt.Scale(domain=[0, 64], nice=False),
                axis=alt.Axis(values=[0, 8, 16, 24, 32, 40, 48, 56, 64]),
            ),
            y=alt.Y("kept:Q", title="what is left", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        )
        .properties(
            width="container",
            height=180,
            title=title_of("'half-life in tokens, as you set it: ' + half_life"),
        )
    )
    frame = frames["half_lives"]
    frame = frame.assign(low_power=np.log2(frame["low"]).astype(int))
    here = (
        alt.Chart(frame)
        .transform_filter("datum.task == task && datum.moment == moment")
        .encode(
            x=alt.X(
                "low_power:O",
                title="half-life in tokens, at least (columns double)",
                axis=alt.Axis(
                    labelExpr="datum.value < 0 ? '1/' + pow(2, -datum.value) : format(pow(2, datum.value), '~s')",
                    labelAngle=0,
                    labelOverlap=True,
                ),
            ),
            y=alt.Y(
                "share:Q", title="share of all gates", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])
            ),
        )
    )
    bars = alt.layer(
        here.mark_bar(color=RECURRENCE, opacity=0.6).encode(y=alt.Y("mean(share):Q", title="share of all gates")),
        here.mark_point(color="black", filled=True, size=18, opacity=0.8),
    ).properties(width="container", height=200, title="half-lives that the gates set (dots: three seeds)")
    return alt.vconcat(curve, bars).add_params(
        slider("half_life", "half-life in tokens", 1, 64, 22),
        select(
            "task",
            "trained on",
            [QUIET, OVERWRITTEN],
            ["recall, nothing is overwritten", "recall, a value is overwritten"],
        ),
        select("moment", "when", ["after training", "before training"]),
    )


def _decay_numbers(frames: Frames) -> Mapping[str, Any]:
    frame, scores = frames["half_lives"], frames["trained"]

    def shares(task: str, moment: str, low: float, high: float) -> pd.Series:
        inside = frame[(frame["task"] == task) & (frame["moment"] == moment)]
        inside = inside[(inside["low"] >= low) & (inside["high"] <= high)]
        return inside.groupby("seed")["share"].sum()

    before, after = (shares(QUIET, moment, 32, np.inf) for moment in ("before training", "after training"))
    return {
        "before": mean_and_interval(before),
        "after": mean_and_interval(after),
        "rose": int((after > before).sum()),
        "long_overwritten": mean_and_interval(shares(OVERWRITTEN, "after training", 32, np.inf)),
        "short": {task: mean_and_interval(shares(task, "after training", 0, 2)) for task in (QUIET, OVERWRITTEN)},
        "accuracy": {
            task: mean_and_interval(scores[(scores["label"] == task) & (scores["slice"] == "pairs=4")]["accuracy"])
            for task in (QUIET, OVERWRITTEN)
        },
        "seeds": frame["seed"].nunique(),
    }


DECAY = Chapter(
    name="decay",
    title="Forgetting, set and learned",
    tables=("half_lives", "trained"),
    commands=("uv run python docs/lesson/measure.py trained half_lives",),
    chart=_decay,
    numbers=_decay_numbers,
    rows=lambda frames: (
        frames["half_lives"]
        .pivot(index=["low", "high"], columns=["task", "moment", "seed"], values="share")
        .reset_index()
    ),
)
