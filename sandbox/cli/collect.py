"""`sandbox-collect outputs/quickstart`: one table of all records, and one of all learning curves."""

import argparse
import pathlib
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Writes `records.csv` and `evaluations.csv`, says what is in them; the exit code is 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="sandbox-collect", description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="a folder of runs")
    parser.add_argument(
        "-o", "--out", type=pathlib.Path, metavar="DIR", help="where to write (default: the folder)"
    )
    args = parser.parse_args(argv)

    from sandbox import results  # pandas takes a second, which --help should not

    out = args.out or args.folder
    try:
        if args.folder.is_file():
            raise results.InputError(f"{args.folder}: a file; sandbox-collect reads a folder of runs")
        records, curves = results.collect(args.folder), results.collect_curves(args.folder)
        out.mkdir(parents=True, exist_ok=True)
    except (results.InputError, OSError) as error:
        print(f"sandbox-collect: {error}", file=sys.stderr)
        return 2
    results.write_atomically(out / results.RECORDS, results.to_csv(records))
    if curves.empty:
        (out / results.CURVES).unlink(missing_ok=True)
    else:
        results.write_atomically(out / results.CURVES, results.to_csv(curves))
    counts = results.outcomes(records) | {"unfinished": len(results.unfinished_runs(args.folder))}
    print(
        "{runs} runs, {records} records, {diverged} members diverged, {failed} runs failed, "
        "{unfinished} runs unfinished".format(**counts)
    )
    print(f"wrote {out / results.RECORDS}" + ("" if curves.empty else f" and {out / results.CURVES}"))
    return 0
