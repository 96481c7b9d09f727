"""The options that several commands share, and how all of them report wrong input."""

import argparse
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Reports wrong input in one line, and exits with code 2."""

    def error(self, message: str) -> NoReturn:
        """Exits with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def add_source(parser: Parser) -> None:
    """The positional argument of commands that read records."""
    parser.add_argument("source", type=pathlib.Path, help="a folder of runs, or a collected records.csv")


def add_report_folder(parser: Parser) -> None:
    """The option of commands that write beside the records they read; `report_folder` has the default."""
    text = "folder to write to (default: report/ beside the records)"
    parser.add_argument("-o", "--out", type=pathlib.Path, metavar="DIR", help=text)


def report_folder(args: argparse.Namespace) -> pathlib.Path:
    """The folder that a command with both of these options writes to."""
    return args.out or (args.source.parent if args.source.is_file() else args.source) / "report"


def add_formats(parser: Parser) -> None:
    """The option of commands that draw."""
    text = "formats of the figures: pdf, png, svg (default: pdf png)"
    parser.add_argument("--formats", nargs="+", default=["pdf", "png"], metavar="NAME", help=text)


def positive(text: str) -> int:
    """The type of an option that takes whole numbers from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def chosen(parser: Parser, option: str, asked: Sequence[str] | None, names: Iterable[str]) -> list[str]:
    """The names that were asked for, in the order of `names`; None or an empty list asks for all.

    Exits if one is not among `names`; for choices that are known only once jax is imported.
    """
    names = list(names)
    for name in asked or ():
        if name not in names:
            parser.error(f"{option}: {name!r} is not one of {', '.join(map(repr, names))}")
    return [name for name in names if not asked or name in asked]


def is_writable_folder(path: pathlib.Path) -> bool:
    """Whether files can be created in this folder; False if there is none."""
    return os.access(path, os.W_OK | os.X_OK)
