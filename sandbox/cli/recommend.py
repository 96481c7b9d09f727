"""`sandbox-recommend outputs/quickstart --recall 0.9`: the cheapest measured model that reaches a recall.

It reads the records of finished runs and interpolates nothing: if no measured model answers, it says so.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox.cli.options import Parser, add_formats, add_report_folder, add_source, report_folder

if TYPE_CHECKING:
    import pathlib

    import pandas as pd


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table, writes it and its map. Exits with 2 for wrong input."""
    parser = Parser(prog="sandbox-recommend", description=__doc__)
    _add_options(parser)
    args = parser.parse_args(argv)

    # Not at the top: pandas and matplotlib take a second, which --help should not.
    from sandbox.cli.startup import show_damage_as_lines
    from sandbox.errors import InputError

    show_damage_as_lines(parser.prog)
    try:
        along, table, notes, files = _recommend(args)
    except (InputError, OSError) as error:
        parser.error(str(error))
    for row in table.to_dict("records"):
        print(f"{along} {row['at']:g}, recall {row['recall']:g}: {recommendation_in_words(row, args.cost)}")
    for note in notes:
        print(note)
    for path in files:
        print(f"wrote {path}")
    return 0


def _add_options(parser: Parser) -> None:
    add = parser.add_argument
    add_source(parser)
    text = "needed share of right answers (default: 0.5 0.9 0.99)"
    add("--recall", nargs="+", type=_share, default=[0.5, 0.9, 0.99], metavar="R", help=text)
    text = "what makes the task harder: length, pairs, … (default: the length, or the slices)"
    add("--along", metavar="NAME", help=text)
    text = "values of it to answer for, such as lengths (default: all)"
    add("--at", nargs="+", type=float, metavar="N", help=text)
    add("--cost", default="state_bytes", metavar="COLUMN", help="cost to keep low (default: %(default)s)")
    add_report_folder(parser)
    add_formats(parser)


def _recommend(args: argparse.Namespace) -> "tuple[str, pd.DataFrame, list[str], list[pathlib.Path]]":
    """The name of the difficulty, the table, notes on the map, and the files written."""
    from sandbox.errors import InputError
    from sandbox.files import write_atomically
    from sandbox.report.drawing import check_formats, draw_all
    from sandbox.report.recommend import measured, recommend, recommendation_map
    from sandbox.tables import collect, to_csv

    check_formats(args.formats)
    points, along = measured(collect(args.source), args.cost, args.along)
    if args.at is not None:
        if missing := [f"{at:g}" for at in args.at if at not in set(points["at"])]:
            tested = ", ".join(f"{at:g}" for at in sorted(points["at"].unique()))
            raise InputError(f"--at {' '.join(missing)}: nothing was tested at this {along}; there are {tested}")
        points = points[points["at"].isin(args.at)].reset_index(drop=True)
    folder = report_folder(args)
    folder.mkdir(parents=True, exist_ok=True)
    table = recommend(points, args.recall)
    map_of = {"recommendation": lambda: recommendation_map(points, along, args.cost)}
    drawn = draw_all(map_of, folder, args.formats, [*points["series"], along])
    path = folder / "recommendations.csv"
    write_atomically(path, to_csv(table))
    return along, table, drawn.notes, [*drawn.files, path]


def recommendation_in_words(row: dict, cost: str) -> str:
    """One row of the table of recommendations as a sentence."""
    from sandbox.report.style import format_size

    if row["model"] != row["model"]:
        return "nothing measured reaches it"
    spread = "" if row["low"] != row["low"] else f" ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
    text = (
        f"{row['model']} at {format_size(cost, row['cost'])}, which recalled {100 * row['accuracy']:.1f} %{spread}"
    )
    if row["runner_up"] != row["runner_up"]:
        return f"{text}; no other series does"
    margin = "at the same cost" if row["margin"] == 1 else f"at {row['margin']:.2g} times the cost"
    return f"{text}; then {row['runner_up']} {margin}"


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0 and at most 1")
    return share
