"""`sandbox-recommend outputs/quickstart --recall 0.9`: the cheapest model that was measured to recall so much.

From the records of finished runs alone: nothing is interpolated, and where nothing measured answers, it says so.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table, writes it and the map; the exit code is 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="sandbox-recommend", description=__doc__)
    add = parser.add_argument
    add("source", type=pathlib.Path, help="a folder of runs, or a collected records.csv")
    text = "needed share of right answers (default: 0.5 0.9 0.99)"
    add("--recall", nargs="+", type=_share, default=[0.5, 0.9, 0.99], metavar="R", help=text)
    add(
        "--along",
        metavar="NAME",
        help="what makes it harder: length, pairs, … (default: the length, or the slices)",
    )
    add("--at", nargs="+", type=float, metavar="N", help="values of it, such as a length (default: all)")
    add("--cost", default="state_bytes", metavar="COLUMN", help="what to save on (default: %(default)s)")
    add("-o", "--out", type=pathlib.Path, metavar="DIR", help="where to write (default: report/ in the folder)")
    add("--formats", nargs="+", default=["pdf", "png"], metavar="NAME", help="pdf, png, svg")
    args = parser.parse_args(argv)

    # Not at the top: pandas and matplotlib take a second, which --help should not.
    import matplotlib as mpl

    from sandbox.errors import InputError
    from sandbox.report.drawing import check_formats
    from sandbox.report.recommend import measured, recommend, recommendation_map
    from sandbox.report.style import RC
    from sandbox.results import collect, to_csv, write_atomically

    folder = args.out or (args.source.parent if args.source.is_file() else args.source) / "report"
    try:
        check_formats(args.formats)
        points, along = measured(collect(args.source), args.cost, args.along)
        if args.at is not None:
            if missing := [f"{at:g}" for at in args.at if at not in set(points["at"])]:
                tested = ", ".join(f"{at:g}" for at in sorted(points["at"].unique()))
                raise InputError(
                    f"--at {' '.join(missing)}: nothing was tested at this {along}; there are {tested}"
                )
            points = points[points["at"].isin(args.at)].reset_index(drop=True)
        folder.mkdir(parents=True, exist_ok=True)
        table = recommend(points, args.recall)
        with mpl.rc_context(RC):
            files = recommendation_map(points, along, args.cost).write(folder, args.formats)
        files.append(folder / "recommendations.csv")
        write_atomically(files[-1], to_csv(table))
    except (InputError, OSError) as error:
        print(f"sandbox-recommend: {error}", file=sys.stderr)
        return 2
    for row in table.to_dict("records"):
        print(f"{along} {row['at']:g}, recall {row['recall']:g}: {in_words(row, args.cost)}")
    for path in files:
        print(f"wrote {path}")
    return 0


def in_words(row: dict, cost: str) -> str:
    """One recommendation."""
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
