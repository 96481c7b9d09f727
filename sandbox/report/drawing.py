"""What a figure is here: the numbers in it, the drawing, and the files that hold both."""

import dataclasses
import functools
import io
import pathlib
from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from sandbox.errors import InputError
from sandbox.report.style import RC
from sandbox.results import to_csv, write_atomically

FORMATS = ("pdf", "png", "svg")


class NothingToDraw(Exception):
    """The records lack what a figure shows; the message is the reason, in one line."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure with exactly the numbers in it."""

    name: str
    numbers: pd.DataFrame
    figure: Figure
    notes: list[str] = dataclasses.field(default_factory=list)
    """What the figure leaves out, a line each."""

    @functools.cached_property
    def png(self) -> bytes:
        """The figure as a PNG image of 200 dots per inch."""
        return self._render("png")

    def write(self, folder: pathlib.Path, formats: Sequence[str]) -> list[pathlib.Path]:
        """Writes the figure in every format and the numbers as CSV."""
        paths = []
        for suffix in formats:
            paths.append(folder / f"{self.name}.{suffix}")
            paths[-1].write_bytes(self.png if suffix == "png" else self._render(suffix))
        paths.append(folder / f"{self.name}.csv")
        write_atomically(paths[-1], to_csv(self.numbers))
        return paths

    def _render(self, suffix: str) -> bytes:
        # Without a date the same numbers give the same file.
        metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix, {})
        buffer = io.BytesIO()
        with mpl.rc_context(RC | {"svg.hashsalt": self.name}):
            self.figure.savefig(buffer, format=suffix, metadata=metadata)
        return buffer.getvalue()


def check_formats(formats: Sequence[str]) -> None:
    """Raises InputError for a format that figures are not written in."""
    for suffix in formats:
        if suffix not in FORMATS:
            raise InputError(f"format {suffix!r}: not one of {', '.join(FORMATS)}")
