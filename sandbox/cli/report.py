"""`sandbox-report outputs/quickstart`: figures (PDF, PNG), tables (CSV, LaTeX) and one page (HTML)."""

from collections.abc import Sequence

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
    args = parser.parse_args(argv)

    # Not at the top: pandas and matplotlib take a second, which --help should not.
    from sandbox.cli.startup import show_damage_as_lines
    from sandbox.errors import InputError
    from sandbox.report import write_report

    show_damage_as_lines(parser.prog)
    try:
        report = write_report(
            args.source,
            report_folder(args),
            x=args.x,
            y=args.y,
            slice=args.slice,
            rows=args.rows,
            columns=args.columns,
            formats=args.formats,
            only=args.only,
        )
    except (InputError, OSError) as error:
        parser.error(str(error))
    for note in report.notes:
        print(note)
    for line in report.differences:
        print(line)
    for path in report.files:
        print(f"wrote {path}")
    return 0
