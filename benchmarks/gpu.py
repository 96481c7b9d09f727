"""Checks the values of every kernel on a GPU or a TPU, then times the kernels.

    python benchmarks/gpu.py --out benchmarks/results/scans_h100.csv --lengths 2048 --dtype bfloat16

First, the kernel of every rule is compiled for this machine and run on every kind of inputs, at lengths around the
edges of a chunk, in float32 and bfloat16. Outputs and gradients are compared with the definition in float64,
because compilers have silently been wrong on new hardware. Checks run in processes, one per core; a failure is
printed and the others continue.

Then `sandbox-bench scans` times the kernels beside the chunked form, attention, and installed kernels of other
packages; options not listed here are passed on to it. The exit code is 1 if a value was wrong. `--interpret` tries
out the first part on a CPU.
"""

import argparse
import concurrent.futures
import contextlib
import multiprocessing
import os
import sys

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # many processes share the memory

import jax

from sandbox.cli import bench
from sandbox.scans import RULES
from sandbox.scans.check import check_rule
from sandbox.target import interpreted_kernels


def problems(rule: str, kind: str, dtype: str, lengths: list[int] | None, interpret: str | None) -> str:
    """The problems, one per line; empty if there are none."""
    with contextlib.nullcontext() if interpret is None else interpreted_kernels(interpret):
        try:
            check_rule(
                RULES[rule],
                kinds=[kind],
                implementations=["pallas"],
                lengths=lengths,
                rows=64,
                columns=64,
                dtype=dtype,
            )
        except (AssertionError, RuntimeError) as error:  # compilers and devices raise the second
            return str(error)
    return ""


def check_values(lengths: list[int] | None, interpret: str | None) -> bool:
    """Prints a line for every rule, kind of inputs and precision; returns whether all are right."""
    right = True
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as workers:
        found = {
            workers.submit(problems, name, kind, dtype, lengths, interpret): f"{name}, {kind}, {dtype}"
            for name, rule in RULES.items()
            for kind in rule.examples
            for dtype in ("float32", "bfloat16")
        }
        for future in concurrent.futures.as_completed(found):
            wrong = future.result()
            right = right and not wrong
            print(f"{found[future]}: " + (f"WRONG\n{wrong}" if wrong else "as its definition"), flush=True)
    return right


def main() -> int:
    """Checks, then times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--interpret", choices=("gpu", "tpu"), help="check the kernels of this platform, on any machine"
    )
    parser.add_argument("--checked-lengths", type=int, nargs="+", help="of the sequences whose values are checked")
    options, for_bench = parser.parse_known_args()
    if options.interpret is None and jax.default_backend() == "cpu":
        print("gpu.py: kernels need a GPU or a TPU, and this is cpu; see --interpret", file=sys.stderr)
        return 2
    right = check_values(options.checked_lengths, options.interpret)
    if options.interpret is None:
        bench.main(["scans", "--implementations", "chunked", "pallas", "--peers", *for_bench])
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
