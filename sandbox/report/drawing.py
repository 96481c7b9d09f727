"""Drawings, which are figures with the data they show, and the files that they are written to."""

import contextlib
import dataclasses
import functools
import io
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from sandbox.errors import InputError
from sandbox.files import write_atomically
from sandbox.report.fonts import families, without_glyph
from sandbox.report.style import RC
from sandbox.tables import to_csv

FORMATS = ("pdf", "png", "svg")


class NothingToDraw(Exception):
    """The records lack what a figure shows; the message is the reason in one line."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure, and a table of exactly the values in it."""

    frame: pd.DataFrame
    figure: Figure
    caption: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)
    """What the figure leaves out, one line each."""
    fonts: list[str] = dataclasses.field(default_factory=lambda: list(mpl.rcParams["font.family"]))
    """The families of fonts that it is drawn in."""

    @functools.cached_property
    def png(self) -> bytes:
        """The figure as a PNG image of 200 dots per inch."""
        return self._render("png")

    def write(self, folder: pathlib.Path, name: str, formats: Sequence[str]) -> list[pathlib.Path]:
        """Writes the figure in every format and its table as CSV; returns the files."""
        paths = []
        for suffix in formats:
            paths.append(folder / f"{name}.{suffix}")
            paths[-1].write_bytes(self.png if suffix == "png" else self._render(suffix, name))
        paths.append(folder / f"{name}.csv")
        write_atomically(paths[-1], to_csv(self.frame))
        return paths

    def _render(self, suffix: str, salt: str = "") -> bytes:
        # Without a date, and with a fixed salt, the same values give the same file.
        metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix, {})
        buffer = io.BytesIO()
        with mpl.rc_context(RC | {"font.family": self.fonts, "svg.hashsalt": salt}):
            self.figure.savefig(buffer, format=suffix, metadata=metadata)
        return buffer.getvalue()


class Drawn(NamedTuple):
    """The drawings by name, the files written, and notes on what was left out, one line each."""

    drawings: dict[str, Drawing]
    files: list[pathlib.Path]
    notes: list[str]


def draw_all(
    figures: Mapping[str, Callable[[], Drawing]],
    folder: pathlib.Path,
    formats: Sequence[str],
    texts: Collection[str],
) -> Drawn:
    """Draws and writes every figure under its name, and removes older files of figures with nothing to draw.

    The figures may show any of the `texts`, in which a letter that no font has gets a note.
    """
    drawn = Drawn({}, [], without_glyph(texts))
    with drawing_style(texts):
        for name, draw in figures.items():
            for suffix in (*FORMATS, "csv"):
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)
            try:
                drawing = draw()
            except NothingToDraw as reason:
                drawn.notes.append(f"{name}: not drawn, {reason}")
                continue
            drawn.drawings[name] = drawing
            drawn.files.extend(drawing.write(folder, name, formats))
            drawn.notes.extend(f"{name}: {note}" for note in drawing.notes)
    return drawn


def drawing_style(texts: Collection[str]) -> contextlib.AbstractContextManager[None]:
    """The style of all figures, with fonts that have the letters of these texts."""
    return mpl.rc_context(RC | {"font.family": families(texts)})


def check_formats(formats: Sequence[str]) -> None:
    """Raises InputError for a format that figures cannot be written in."""
    for suffix in formats:
        if suffix not in FORMATS:
            raise InputError(f"format {suffix!r}: not one of {', '.join(FORMATS)}")
