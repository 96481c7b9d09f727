"""`sandbox-bench scans`: every update rule by every implementation, timed beside softmax attention.

All of one length and direction take turns in one process. Results are compared before they are timed. Shares are
of what a large matrix product and a large copy reach on this machine, measured first.
"""

import argparse
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NoReturn

DTYPES = ("float32", "bfloat16")


class Parser(argparse.ArgumentParser):
    """Tells about wrong input in one line."""

    def error(self, message: str) -> NoReturn:
        """Exits with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark that is named; the exit code is 2 for wrong input."""
    parser = Parser(prog="sandbox-bench", description="What runs how fast on this machine.")
    benchmarks = parser.add_subparsers(required=True, metavar="BENCHMARK")
    scans = benchmarks.add_parser("scans", description=__doc__, help="update rules by implementation and length")
    _add_options(scans)
    scans.set_defaults(run=lambda args: _scans(scans, args))
    args = parser.parse_args(argv)
    return args.run(args)


def _add_options(parser: Parser) -> None:
    add = parser.add_argument
    add("--rules", nargs="+", metavar="NAME", help="update rules (default: all)")
    add("--kinds", nargs="+", metavar="KIND", help="kinds of inputs, such as 'scalar decay' (default: all)")
    add("--implementations", nargs="+", metavar="NAME", help="recurrent, chunked, pallas (default: all)")
    add(
        "--lengths",
        nargs="+",
        type=positive,
        default=[128, 512, 2048],
        metavar="T",
        help="tokens of a sequence (default: 128 512 2048)",
    )
    text = "sequences at T=512; other lengths get as many tokens in all (default: %(default)s)"
    add("--batch", type=positive, default=16, metavar="B", help=text)
    add("--heads", type=positive, default=2, metavar="H", help="default: %(default)s")
    add("--rows", type=positive, default=64, metavar="K", help="rows of a head's state (default: %(default)s)")
    add("--columns", type=positive, default=64, metavar="V", help="columns of it (default: %(default)s)")
    add("--chunk-size", type=positive, metavar="C", help="a power of two (default: that of each rule)")
    add("--dtype", choices=DTYPES, default="float32", help="of the inputs (default: %(default)s)")
    add("--repeats", type=positive, default=15, metavar="N", help="timed rounds (default: %(default)s)")
    text = "also time jax-linear-attention, and on a GPU fla-core's kernels for bfloat16, where installed"
    add("--peers", action="store_true", help=text)
    add("--out", type=pathlib.Path, metavar="FILE", help="CSV file to write")


def positive(text: str) -> int:
    """The type of an option that takes whole numbers from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def _scans(parser: Parser, args: argparse.Namespace) -> int:
    # Not at the top: jax takes a second, which --help should not.
    import jax

    from sandbox.bench import peer_fla, peer_jla
    from sandbox.bench.cases import Setting
    from sandbox.bench.ceilings import measure_ceilings
    from sandbox.bench.scans import Row, time_scans
    from sandbox.cli.bench_tables import frame, print_crossovers, print_header, print_speeds
    from sandbox.cli.display import console
    from sandbox.results import to_csv, write_atomically
    from sandbox.scans import IMPLEMENTATIONS, RULES

    rules = _known(parser, "--rules", args.rules, RULES)
    all_kinds = dict.fromkeys(kind for rule in rules for kind in RULES[rule].examples)
    implementations = _known(parser, "--implementations", args.implementations, IMPLEMENTATIONS)
    kinds = _known(parser, "--kinds", args.kinds, all_kinds)
    if args.chunk_size is not None and args.chunk_size & (args.chunk_size - 1):
        parser.error(f"--chunk-size: {args.chunk_size} is not a power of two")
    if args.out is not None and not os.access(args.out.parent, os.W_OK | os.X_OK):
        parser.error(f"--out: {args.out.parent} is not a folder that can be written to")
    if args.out is not None and args.out.is_dir():
        parser.error(f"--out: {args.out} is a folder")
    try:
        jax.devices("cpu")
    except RuntimeError:
        parser.error("JAX_PLATFORMS leaves out cpu, which counts the arithmetic: add it, as in cuda,cpu")
    setting = Setting(
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
    for package in (peer_jla, peer_fla) if args.peers else ():
        if (reason := package.why_not()) is not None:
            console.print(f"left out: {reason}")
    ceilings = measure_ceilings(setting.dtype)
    print_header(setting, ceilings)
    rows: list[Row] = []
    try:
        rows.extend(time_scans(setting, ceilings, rounds=args.repeats, report=console.print))
    finally:  # what was measured before an interruption is worth keeping
        print_speeds(rows)
        print_crossovers(rows)
        if rows and args.out is not None:
            write_atomically(args.out, to_csv(frame(rows, ceilings)))
            console.print(f"wrote {args.out}")
    return 0


def _known(parser: Parser, option: str, asked: Sequence[str] | None, names: Iterable[str]) -> list[str]:
    """What was asked for, or all; in the order of `names`."""
    names = list(names)
    for name in asked or ():
        if name not in names:
            parser.error(f"{option}: {name!r} is not one of {', '.join(map(repr, names))}")
    return [name for name in names if not asked or name in asked]
