"""`sandbox-report outputs/decay_types`: figures (PDF, PNG), tables (CSV, LaTeX) and one page (HTML)."""

import argparse
import pathlib
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the report and lists what it wrote; returns the exit code, 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="sandbox-report", description=__doc__)
    add = parser.add_argument
    add("source", type=pathlib.Path, help="a folder of runs, or a collected records.csv")
    add(
        "-o",
        "--out",
        type=pathlib.Path,
        metavar="DIR",
        help="where to write (default: report/ in the folder)",
    )
    add("--x", default="state_bytes", metavar="COLUMN", help="x of the frontier (default: %(default)s)")
    add(
        "--slice",
        metavar="NAME",
        help="slice of the frontier, such as pairs=16 (default: the hardest that all tasks have)",
    )
    add("--rows", metavar="COLUMN", help="size in heatmap and curves (default: mixer.d_state, or the bytes)")
    add("--columns", default="slice", metavar="KEY", help="columns of the heatmap: slice, or any config key")
    add("--formats", nargs="+", default=["pdf", "png"], metavar="NAME", help="pdf, png, svg")
    args = parser.parse_args(argv)

    # Not at the top: pandas and matplotlib take a second, which --help should not.
    from sandbox.errors import InputError
    from sandbox.report import write_report

    folder = args.source.parent if args.source.is_file() else args.source
    try:
        report = write_report(
            args.source,
            args.out or folder / "report",
            x=args.x,
            slice=args.slice,
            rows=args.rows,
            columns=args.columns,
            formats=args.formats,
        )
    except (InputError, OSError) as error:
        print(f"sandbox-report: {error}", file=sys.stderr)
        return 2
    for note in report.notes:
        print(note)
    for path in report.files:
        print(f"wrote {path}")
    return 0
