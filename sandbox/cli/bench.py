"""`sandbox-bench scans`: every update rule by every implementation, timed beside softmax attention.

The results of all implementations are compared before they are timed. The programs of one length and direction are
interleaved in one process. Shares are of the rates of a large matrix product and of a large copy, measured first.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox.cli.options import Parser, chosen, is_writable_folder, positive

if TYPE_CHECKING:
    from sandbox.bench.cases import Setting


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark that is named. Exits with 2 for wrong input."""
    parser = Parser(prog="sandbox-bench", description="Benchmarks of this code on this machine.")
    benchmarks = parser.add_subparsers(required=True, metavar="BENCHMARK")
    scans = benchmarks.add_parser("scans", description=__doc__, help="update rules by implementation and length")
    _add_options(scans)
    scans.set_defaults(run=lambda args: _bench_scans(scans, args))
    args = parser.parse_args(argv)
    return args.run(args)


def _add_options(parser: Parser) -> None:
    add = parser.add_argument
    add("--rules", nargs="+", metavar="NAME", help="update rules (default: all)")
    add("--kinds", nargs="+", metavar="KIND", help="kinds of inputs, such as 'scalar decay' (default: all)")
    add("--implementations", nargs="+", metavar="NAME", help="such as: steps chunked (default: all)")
    text = "tokens of a sequence (default: 128 512 2048)"
    add("--lengths", nargs="+", type=positive, default=[128, 512, 2048], metavar="T", help=text)
    text = "sequences at T=512; other lengths get as many tokens in all (default: %(default)s)"
    add("--batch", type=positive, default=16, metavar="B", help=text)
    add("--heads", type=positive, default=2, metavar="H", help="heads (default: %(default)s)")
    text = "rows of a head's state: channels of a key (default: %(default)s)"
    add("--rows", type=positive, default=64, metavar="K", help=text)
    text = "columns of a head's state: channels of a value (default: %(default)s)"
    add("--columns", type=positive, default=64, metavar="V", help=text)
    text = "tokens of a chunk, a power of two (default: that of each rule)"
    add("--chunk-size", type=positive, metavar="C", help=text)
    text = "precision of the inputs (default: %(default)s)"
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help=text)
    add("--repeats", type=positive, default=15, metavar="N", help="timed rounds (default: %(default)s)")
    text = "also time jax-linear-attention and, on a GPU, fla-core's bfloat16 kernels, if they are installed"
    add("--peers", action="store_true", help=text)
    add("--out", type=pathlib.Path, metavar="FILE", help="CSV file to write")


def _bench_scans(parser: Parser, args: argparse.Namespace) -> int:
    # Not at the top: jax takes a second, which --help should not.
    from sandbox.bench import peer_fla, peer_jla
    from sandbox.bench.ceilings import measure_ceilings
    from sandbox.bench.scans import ScanRow, time_scans
    from sandbox.cli.bench_tables import print_header, print_overtaking, print_speeds
    from sandbox.cli.display import console
    from sandbox.cli.machine import with_machine
    from sandbox.files import write_atomically
    from sandbox.tables import to_csv

    setting = _read_setting(parser, args)
    for package in (peer_jla, peer_fla) if args.peers else ():
        if (reason := package.why_not()) is not None:
            console.print(f"left out: {reason}")
    ceilings = measure_ceilings(setting.dtype)
    print_header(setting, ceilings)
    rows: list[ScanRow] = []
    try:
        rows.extend(time_scans(setting, ceilings, rounds=args.repeats, report=console.print))
    finally:  # keep what was measured before an interruption
        print_speeds(rows)
        print_overtaking(rows)
        if rows and args.out is not None:
            write_atomically(args.out, to_csv(with_machine(rows, ceilings.columns)))
            console.print(f"wrote {args.out}")
    return 0


def _read_setting(parser: Parser, args: argparse.Namespace) -> "Setting":
    from sandbox.bench.cases import Setting
    from sandbox.scans import IMPLEMENTATIONS, RULES

    rules = chosen(parser, "--rules", args.rules, RULES)
    all_kinds = dict.fromkeys(kind for rule in rules for kind in RULES[rule].examples)
    implementations = chosen(parser, "--implementations", args.implementations, IMPLEMENTATIONS)
    kinds = chosen(parser, "--kinds", args.kinds, all_kinds)
    if args.chunk_size is not None and args.chunk_size & (args.chunk_size - 1):
        parser.error(f"--chunk-size: {args.chunk_size} is not a power of two")
    if args.out is not None and not is_writable_folder(args.out.parent):
        parser.error(f"--out: {args.out.parent} is not a folder that can be written to")
    if args.out is not None and args.out.is_dir():
        parser.error(f"--out: {args.out} is a folder")
    return Setting(
        rules=rules,
        kinds=kinds,
        implementations=implementations,
        lengths=sorted(set(args.lengths)),
        batch=args.batch,
        heads=args.heads,
        rows=args.rows,
        columns=args.columns,
        chunk_size=args.chunk_size,
        dtype=args.dtype,
        with_peers=args.peers,
    )
