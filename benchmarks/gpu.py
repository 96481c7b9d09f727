"""Everything that needs a GPU or a TPU, in one command: the values of every kernel, then its seconds.

    python benchmarks/gpu.py --out benchmarks/results/scans_h100.csv

First every rule is run by its kernel as compiled for this machine, at lengths around the edges of a chunk, in
float32 and in bfloat16, and compared with its definition in float64, gradients included: compilers have been wrong
on new hardware without a word. A rule that fails is listed with what is wrong, and the rest goes on. Then
`sandbox-bench scans` times the kernels beside the chunked form, attention, and the kernels of jax-linear-attention
where it is installed. The exit code is 1 if a value was wrong. `--interpret` tries the first part out on a CPU.
"""

import argparse
import contextlib
import sys

import jax

from sandbox.cli import bench
from sandbox.scans import RULES
from sandbox.scans.check import check_rule
from sandbox.scans.target import interpreted_kernels


def check_values(lengths: list[int] | None) -> bool:
    """Prints a line for every rule and precision, and what is wrong below it; whether nothing is."""
    right = True
    for name, rule in RULES.items():
        for dtype in ("float32", "bfloat16"):
            try:
                check_rule(rule, implementations=["pallas"], lengths=lengths, rows=64, columns=64, dtype=dtype)
                print(f"{name}, {dtype}: as its definition", flush=True)
            except AssertionError as error:
                right = False
                print(f"{name}, {dtype}: WRONG\n{error}", flush=True)
    return right


def main() -> int:
    """Checks, then times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="CSV file of the seconds")
    parser.add_argument(
        "--interpret", choices=("gpu", "tpu"), help="check the kernels of this platform, on any machine"
    )
    parser.add_argument("--lengths", type=int, nargs="+", help="of the sequences whose values are checked")
    options = parser.parse_args()
    if options.interpret is None and jax.default_backend() == "cpu":
        print("gpu.py: kernels need a GPU or a TPU, and this is cpu; see --interpret", file=sys.stderr)
        return 2
    scope = contextlib.nullcontext() if options.interpret is None else interpreted_kernels(options.interpret)
    with scope:
        right = check_values(options.lengths)
    if options.interpret is None:
        arguments = ["scans", "--implementations", "chunked", "pallas", "--peers"]
        bench.main(arguments + (["--out", options.out] if options.out else []))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
