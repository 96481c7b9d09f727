"""The chapter on the running state: what it would answer after each token, and the numbers in it."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from chapters.chapter import Chapter, Frames, slider, title_of
from sandbox.report.intervals import mean_and_interval
from sandbox.report.style import COLORS

LINEAR = "linear attention"


def text_of(frames: Frames) -> pd.DataFrame:
    """The tokens of the text by place, as far as the last question."""
    read = frames["attention"].drop_duplicates("place")[["place", "token"]]
    return read.sort_values("place").reset_index(drop=True)


def _running_state(frames: Frames) -> alt.TopLevelMixin:
    """The text, the answers of the state after the token of the slider, and its matrix."""
    last = len(text_of(frames))
    return (
        alt.vconcat(_strip(frames), _answers(frames, last), _matrix(frames, last))
        .resolve_scale(color="independent")
        .add_params(slider("read", "tokens read", 1, last, 4))
    )


def _strip(frames: Frames) -> alt.LayerChart:
    """The tokens of the text, the last one that was read set off."""
    text = text_of(frames).assign(at=lambda rows: rows["place"] + 1)
    base = alt.Chart(text).encode(x=alt.X("at:O", axis=alt.Axis(title=None, labelAngle=0, labelOverlap=True)))
    color = (
        alt.when("datum.at == read")
        .then(alt.value(COLORS[1]))
        .when("datum.at < read")
        .then(alt.value("#d9e6f2"))
        .otherwise(alt.value("#f4f4f4"))
    )
    layers = (
        base.mark_rect(stroke="white").encode(color=color),
        base.mark_text(fontSize=14).encode(text="token:N"),
    )
    title = title_of("'tokens read: ' + read")
    return alt.layer(*layers).properties(width="container", height=34, title=title)


def _answers(frames: Frames, last: int) -> alt.LayerChart:
    """The probability of each value for each key, after the tokens that were read."""
    mean = frames["answers"].groupby(["token", "key", "value"], as_index=False)["probability"].mean().round(4)
    mean = mean.merge(_given(frames), how="left", on=["key", "value"])
    grid = (
        alt.Chart(mean[mean["token"] < last])
        .transform_filter("datum.token == read - 1")
        .encode(
            x=alt.X("value:O", title="answer", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("key:N", title="key asked for"),
        )
    )
    shade = alt.Color(
        "probability:Q",
        scale=alt.Scale(scheme="blues", domain=[0, 1]),
        legend=alt.Legend(title="probability", format="%"),
    )
    ink = alt.when("datum.probability > 0.55").then(alt.value("white")).otherwise(alt.value("black"))
    percent = alt.Text("probability:Q", format=".0%")
    layers = (
        grid.mark_rect(stroke="white").encode(color=shade, tooltip=["key:N", "value:N", "probability:Q"]),
        grid.transform_filter("isValid(datum.given) && datum.given <= datum.token").mark_rect(
            stroke=COLORS[3], strokeWidth=2.5, fillOpacity=0
        ),
        grid.transform_filter("datum.probability >= 0.2").mark_text().encode(text=percent, color=ink),
    )
    title = "what the state would answer (framed: was read)"
    return alt.layer(*layers).properties(width="container", height=210, title=title)


def _matrix(frames: Frames, last: int) -> alt.Chart:
    """The numbers of the state after the tokens that were read."""
    cells = frames["state"]
    most = float(cells["cell"].abs().max())
    shade = alt.Color(
        "cell:Q",
        scale=alt.Scale(scheme="blueorange", domain=[-most, most]),
        legend=alt.Legend(title="number"),
    )
    return (
        alt.Chart(cells[cells["token"] < last].round(3))
        .transform_filter("datum.token == read - 1")
        .mark_rect()
        .encode(
            x=alt.X("column:O", title="column", axis=alt.Axis(values=[0, 8, 16, 24, 31], labelAngle=0)),
            y=alt.Y("row:O", title="row"),
            color=shade,
        )
        .properties(width="container", height=150, title="the state itself")
    )


def _given(frames: Frames) -> pd.DataFrame:
    """The pairs of the text, with the place of each value."""
    read = frames["attention"]
    pairs = read[read["place"] == read["answer_at"]].drop_duplicates("question")
    return pd.DataFrame(
        {"key": pairs["question"], "value": pairs["token"].astype(int), "given": pairs["answer_at"]}
    )


def _running_state_numbers(frames: Frames) -> Mapping[str, Any]:
    answers = frames["answers"].set_index(["key", "value", "token"]).sort_index()["probability"]
    cells = frames["state"].pivot(index="token", columns=["row", "column"], values="cell")
    change = cells.loc[3].sub(cells.loc[2]).abs()
    scores = frames["trained"]
    four = scores[(scores["label"] == LINEAR) & (scores["slice"] == "pairs=4")]["accuracy"]
    chances = answers.loc["B", 7]
    return {
        "accuracy": mean_and_interval(four),
        "seeds": len(four),
        "chance": scores["chance"].iloc[0],
        "before": chances.loc[2],
        "after": chances.loc[3],
        "late": chances.loc[9],
        "first": answers.loc["A", 1].loc[9],
        "cells": len(change),
        "changed": int((change > 0.1 * change.max()).sum()),
        "rows": cells.columns.get_level_values("row").nunique(),
        "columns": cells.columns.get_level_values("column").nunique(),
        "bytes": scores[scores["label"] == LINEAR]["state_bytes"].iloc[0],
    }


RUNNING_STATE = Chapter(
    name="running_state",
    title="The running state",
    tables=("state", "answers", "attention", "trained"),
    commands=("uv run python docs/lesson/measure.py trained state answers attention",),
    chart=_running_state,
    numbers=_running_state_numbers,
    rows=lambda frames: (
        frames["answers"]
        .groupby(["token", "key", "value"], as_index=False)["probability"]
        .mean()
        .assign(token=lambda rows: rows["token"] + 1)
        .pivot(index=["token", "key"], columns="value", values="probability")
        .loc[[2, 4, 6, 8, 10]]
        .reset_index()
    ),
)
