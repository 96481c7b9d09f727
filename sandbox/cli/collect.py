"""`sandbox-collect outputs/quickstart`: one table of all records, and one of all learning curves."""

import pathlib
from collections.abc import Sequence

from sandbox.cli.options import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Writes `records.csv` and `evaluations.csv`, and counts what is in them. Exits with 2 for wrong input."""
    parser = Parser(prog="sandbox-collect", description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="a folder of runs")
    text = "folder to write to (default: the folder of runs)"
    parser.add_argument("-o", "--out", type=pathlib.Path, metavar="DIR", help=text)
    args = parser.parse_args(argv)

    from sandbox import files, results, run_folder, tables  # pandas takes a second, which --help should not
    from sandbox.cli.startup import show_damage_as_lines
    from sandbox.errors import InputError

    out = args.out or args.folder
    show_damage_as_lines(parser.prog)
    try:
        if args.folder.is_file():
            raise InputError(f"{args.folder}: a file; sandbox-collect reads a folder of runs")
        records, curves = tables.collect(args.folder), tables.collect_curves(args.folder)
        out.mkdir(parents=True, exist_ok=True)
    except (InputError, OSError) as error:
        parser.error(str(error))
    files.write_atomically(out / results.RECORDS, tables.to_csv(records))
    if curves.empty:
        (out / results.CURVES).unlink(missing_ok=True)
    else:
        files.write_atomically(out / results.CURVES, tables.to_csv(curves))
    counts = tables.outcomes(records) | {"unfinished": len(run_folder.unfinished_runs(args.folder))}
    print(
        "{runs} runs, {records} records, {diverged} members diverged, {failed} runs failed, "
        "{unfinished} runs unfinished".format(**counts)
    )
    print(f"wrote {out / results.RECORDS}" + ("" if curves.empty else f" and {out / results.CURVES}"))
    return 0
