"""Writes `docs/lesson/index.html` from committed tables: `python docs/lesson/make.py`."""

import pathlib

import altair as alt
import jinja2
import pandas as pd
from chapters import CHAPTERS
from markupsafe import Markup

from sandbox.report.vega import chart_scripts

HERE = pathlib.Path(__file__).parent
PAGE = HERE / "index.html"


def page() -> str:
    """The whole page."""
    templates = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(HERE), jinja2.PackageLoader("sandbox.report", "")]),
    )
    templates.filters |= {
        "bytes": in_bytes,
        "percent": lambda share: f"{100 * share:.3g} per cent",
        "count": lambda number: f"{number:,.0f}",
        "big": in_millions,
        "seconds": in_seconds,
        "mean": mean_in_words,
        "span": span,
        "part": lambda share: f"one part in {1 / share / 1e6:.2g} million",
        "times": lambda ratio: f"{ratio[0]:.2g} times ({ratio[1]:.2g} to {ratio[2]:.2g})",
        "digits": lambda number: f"{number:.2g}",
    }
    frames = {chapter.name: chapter.read() for chapter in CHAPTERS}
    charts = {f"chart-{chapter.name}": finished(chapter.chart(frames[chapter.name])) for chapter in CHAPTERS}
    chapters = [
        {
            "chapter": chapter,
            "text": Markup(  # made by the same templates, which have escaped what is not theirs
                templates.get_template(f"text/{chapter.name}.html").render(chapter.numbers(frames[chapter.name]))
            ),
            "stacked": isinstance(charts[f"chart-{chapter.name}"], alt.VConcatChart),
            "table": table(chapter.rows(frames[chapter.name])),
        }
        for chapter in CHAPTERS
    ]
    return templates.get_template("page.html.j2").render(chapters=chapters, scripts=chart_scripts(charts))


def finished(chart: alt.TopLevelMixin) -> alt.TopLevelMixin:
    """The chart with the looks that all charts of the page share."""
    font = "system-ui, sans-serif"
    return (
        chart.configure(font=font, background="white")
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", gridColor="#e5e5e5")
        .configure_title(anchor="start", fontSize=13, fontWeight="normal")
        .configure_legend(orient="bottom", columns=1, labelFontSize=12, labelLimit=0)
    )


def table(rows: pd.DataFrame) -> Markup:
    """A table in HTML; numbers have at most four digits that count."""
    heads = [", ".join(filter(None, map(str, name))) if isinstance(name, tuple) else str(name) for name in rows]
    rows = rows.set_axis(heads, axis="columns")
    return Markup(rows.to_html(index=False, border=0, classes="scores", na_rep="", float_format="{:.4g}".format))


def in_millions(number: float) -> str:
    """64000000 as `64 million`; numbers below a million as they are."""
    return f"{number / 1e6:,.3g} million" if number >= 1e6 else f"{number:,.0f}"


def in_bytes(number: float) -> str:
    """A number of bytes with three digits that count, in thousands and millions, as the axes of charts have it."""
    for factor, unit in ((1e6, "MB"), (1e3, "kB")):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{number:.0f} bytes"


def in_seconds(seconds: float) -> str:
    """A time with two digits that count, in the unit that fits."""
    for factor, unit in ((1e6, "millionths of a second"), (1e3, "thousandths of a second")):
        if seconds * factor < 999:
            return f"{seconds * factor:.2g} {unit}"
    return f"{seconds:.2g} seconds"


def mean_in_words(interval: tuple[float, float, float]) -> str:
    """A mean over seeds of a share, with its interval, if the seeds differ in the digits that are shown."""
    mean, low, high = (f"{100 * share:.3g}" if share in (0, 1) else f"{100 * share:.1f}" for share in interval)
    return f"{mean} per cent ({low} to {high})" if low != high else f"{mean} per cent (every seed)"


def span(values: pd.Series) -> str:
    """The lowest and the highest of several shares."""
    low, high = f"{100 * values.min():.1f}", f"{100 * values.max():.1f}"
    return f"{low} per cent" if low == high else f"{low} to {high} per cent"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
