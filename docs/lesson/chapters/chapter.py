"""What a chapter is, and what the charts of several share."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from sandbox.report.style import COLORS

ROOT = pathlib.Path(__file__).parents[3]

ATTENTION, RECURRENCE = COLORS[3], COLORS[0]
"""The colours of the two machines, in every chart."""

Frames = Mapping[str, pd.DataFrame]
"""The tables that a chapter reads, by the names of their files without `.csv`."""


@dataclass(frozen=True)
class Chapter:
    """A question with its answer, one chart, and the commands that measured what it shows."""

    name: str
    """The id of its section; its text is `text/<name>.html`."""
    title: str
    tables: tuple[str, ...]
    """Paths of the tables from the root of the project; one of `docs/lesson/data` by its name alone."""
    commands: tuple[str, ...]
    chart: Callable[[Frames], alt.TopLevelMixin]
    numbers: Callable[[Frames], Mapping[str, Any]]
    """The values that stand in its text."""
    rows: Callable[[Frames], pd.DataFrame]
    """The table below its chart."""

    @property
    def paths(self) -> list[pathlib.Path]:
        """The files of its tables."""
        return [ROOT / (name if "/" in name else f"docs/lesson/data/{name}.csv") for name in self.tables]

    def read(self) -> Frames:
        """Its tables."""
        return {path.stem: pd.read_csv(path) for path in self.paths}


def slider(name: str, label: str, low: float, high: float, value: float, step: float = 1) -> alt.Parameter:
    """A number that the reader sets."""
    return alt.param(
        name=name, value=value, bind=alt.binding_range(min=low, max=high, step=step, name=f"{label} ")
    )


def select(name: str, label: str, options: Sequence[Any], labels: Sequence[str] | None = None) -> alt.Parameter:
    """A choice of the reader; the first option holds at the start."""
    texts = list(labels) if labels is not None else [str(option) for option in options]
    binding = alt.binding_select(options=list(options), labels=texts, name=f"{label} ")
    return alt.param(name=name, value=options[0], bind=binding)


def choices(names: Mapping[str, str]) -> alt.Scale:
    """A colour for each name."""
    return alt.Scale(domain=list(names), range=list(names.values()))


def log_scale(low: float | alt.ExprRef | None = None, high: float | None = None) -> alt.Scale:
    """A logarithmic scale, from `low` to `high` if they are given."""
    domain = alt.Undefined if low is None or high is None else [low, high]
    return alt.Scale(type="log", nice=False, domain=domain)


def title_of(*lines: str) -> alt.TitleParams:
    """A title that follows the controls; its lines are expressions of Vega's."""
    return alt.TitleParams(alt.expr(f"[{', '.join(lines)}]"))


def looked_up(texts: Mapping[str, str], parameter: str) -> str:
    """The expression, in Vega's language, for the text of what the reader chose."""
    pairs = ", ".join(f"'{name}': '{text}'" for name, text in texts.items())
    return f"{{{pairs}}}[{parameter}]"


def quantities(units: Mapping[str, str], parameter: str, share: str = "") -> alt.Axis:
    """An axis of numbers such as 40µ, followed by the unit of the quantity that the parameter names.

    Those of the quantity `share` are powers of ten, such as 1e-6.
    """
    label = f"{parameter} == '{share}' ? format(datum.value, '~e') : format(datum.value, '~s') + "
    return alt.Axis(title=None, labelExpr=label + looked_up(units, parameter), tickCount=6)
