"""`sandbox-report outputs/quickstart`: figures (PDF, PNG), tables (CSV, LaTeX) and one interactive page (HTML)."""

import argparse
from collections.abc import Sequence
from typing import Any

from sandbox.cli.options import Parser, add_formats, add_report_folder, add_source, report_folder


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the report and lists its files. Exits with 2 for wrong input."""
    parser = Parser(prog="sandbox-report", description=__doc__)
    add = parser.add_argument
    add_source(parser)
    add_report_folder(parser)
    text = "x of the frontier: a cost, a config key, or slice, the difficulty (default: %(default)s)"
    add("--x", default="state_bytes", metavar="COLUMN", help=text)
    text = "y of the frontier: accuracy, exact (whole sequences) or free_running (default: %(default)s)"
    add("--y", default="accuracy", metavar="COLUMN", help=text)
    text = "slice that the frontier shows, such as pairs=16 (default: the hardest that all tasks have)"
    add("--slice", metavar="NAME", help=text)
    text = "size in heatmap and curves (default: mixer.d_state if it varies, or the bytes)"
    add("--rows", metavar="COLUMN", help=text)
    text = "columns of the heatmap: slice, or any config key (default: %(default)s)"
    add("--columns", default="slice", metavar="KEY", help=text)
    text = "only runs with this value of a key, such as mixer.name=gla; several of one key are alternatives"
    add("--only", nargs="+", default=[], metavar="KEY=VALUE", help=text)
    add_formats(parser)
    text = "write the page again whenever runs end, until Ctrl-C; the page loads itself again"
    add("--watch", action="store_true", help=text)
    args = parser.parse_args(argv)
    if args.watch and args.source.is_file():
        parser.error(f"--watch {args.source}: must be a folder of runs, not a file")

    # Not at the top: pandas and matplotlib take a second, which --help should not.
    from sandbox.cli.startup import show_damage_as_lines
    from sandbox.errors import InputError

    show_damage_as_lines(parser.prog)
    try:
        if args.watch:
            from sandbox.cli.watch import watch

            watch(args.source, report_folder(args), _options(args))
        else:
            _write(args)
    except (InputError, OSError) as error:
        parser.error(str(error))
    return 0


def _write(args: argparse.Namespace) -> None:
    """Writes the report and prints what it leaves out, what differs, and its files."""
    from sandbox.cli.reproduce import commands
    from sandbox.report import write_report

    report = write_report(args.source, report_folder(args), commands=commands, **_options(args))
    for line in (*report.notes, *report.differences):
        print(line)
    for path in report.files:
        print(f"wrote {path}")


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What the report shows, as `write_report` takes it."""
    return {name: getattr(args, name) for name in ("x", "y", "slice", "rows", "columns", "formats", "only")}
