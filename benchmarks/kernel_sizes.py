"""Seconds of the GPU kernels by chunk size, tile width, warps per program, and precision of products.

    python benchmarks/kernel_sizes.py --out benchmarks/results/kernel_sizes_h200.csv

The sizes in `sandbox/scans/kernels/gpu.py` were chosen by this. Limits on the length of a chunk and on shared
memory are lifted: sizes that do not fit give a table row without seconds. Values are compared with the chunked
form. `--interpret` tries the script out on any machine, where its seconds mean nothing.
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import pathlib
import sys
from collections.abc import Iterator

import jax

from sandbox.bench.cases import Case, Function, Setting, make_cases
from sandbox.bench.ceilings import measure_ceilings
from sandbox.bench.scans import ScanRow, time_scans
from sandbox.cli.bench_tables import print_speeds
from sandbox.cli.display import console
from sandbox.cli.machine import with_machine
from sandbox.files import write_atomically
from sandbox.scans import RULES, Rule
from sandbox.scans.kernels import gpu
from sandbox.scans.layout import initial_states
from sandbox.scans.rule import Inputs, Outputs
from sandbox.tables import to_csv
from sandbox.target import interpreted_kernels, kernels_are_interpreted

PRODUCTS = {"TF32": "default", "TF32x3": gpu.FLOAT32_PRODUCTS, "BF16": gpu.BFLOAT16_PRODUCTS}


def kernel(rule: Rule, dtype: str, chunk_size: int, tile: int, warps: int, products: str) -> Function:
    """The map from inputs to outputs by a kernel of these sizes."""
    chip = dataclasses.replace(
        gpu.GPU,
        longest_chunk=chunk_size,
        widest_tile=tile,
        preferred_state=gpu.GPU.largest_state,
        reused_operands=sys.maxsize,
    )

    def run(inputs: Inputs) -> Outputs:
        outputs, _ = gpu.run_pallas_gpu(
            rule,
            initial_states(rule, inputs),
            inputs,
            dtype=dtype,
            interpret=kernels_are_interpreted(),
            chip=chip,
            num_warps=warps,
            products=PRODUCTS[products],
        )
        return outputs

    return run


def cases_of(options: argparse.Namespace, setting: Setting, tokens: int) -> Iterator[Case]:
    """The chunked form and a kernel of each size, for every kind of inputs of a rule with a chunk form."""
    sizes = list(itertools.product(options.chunks, options.tiles, options.warps, options.products))
    for case in make_cases(setting, tokens):
        rule = RULES.get(case.rule)
        if rule is not None and rule.chunk is not None:
            kernels = {
                f"chunk {chunk}, tile {tile}, {warps} warps, {products}": kernel(
                    rule, setting.dtype, chunk, tile, warps, products
                )
                for chunk, tile, warps, products in sizes
            }
            yield dataclasses.replace(case, functions=case.functions | kernels)


def main() -> int:
    """Times, prints and writes, and when interrupted prints and writes what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=pathlib.Path, help="CSV file")
    add("--rules", nargs="+", choices=RULES, default=list(RULES))
    add("--kinds", nargs="+", default=["scalar decay", "channel decay", "exponential input gate"])
    add("--chunks", type=int, nargs="+", default=[16, 32], help="tokens of a chunk")
    add("--tiles", type=int, nargs="+", default=[32, 64], help="columns of a tile")
    add("--warps", type=int, nargs="+", default=[4, 8])
    add("--products", nargs="+", choices=PRODUCTS, default=["TF32", "BF16"])
    add("--length", type=int, default=2048, help="tokens of a sequence")
    add("--batch", type=int, default=64, help="sequences at T=512")
    add("--dtype", default="bfloat16", help="of the inputs")
    add("--rounds", type=int, default=15)
    add("--interpret", action="store_true")
    options = parser.parse_args()
    if not options.interpret and jax.default_backend() != "gpu":
        print(f"kernel_sizes.py: kernels need a GPU, and this is {jax.default_backend()}", file=sys.stderr)
        return 2
    setting = Setting(
        rules=options.rules,
        kinds=options.kinds,
        implementations=["chunked"],
        lengths=[options.length],
        batch=options.batch,
        heads=4,
        rows=64,
        columns=64,
        chunk_size=None,
        dtype=options.dtype,
        with_peers=False,
    )
    ceilings = measure_ceilings(setting.dtype)
    rows: list[ScanRow] = []
    make = functools.partial(cases_of, options)
    try:
        with interpreted_kernels("gpu") if options.interpret else contextlib.nullcontext():
            rows.extend(
                time_scans(setting, ceilings, rounds=options.rounds, report=console.print, make_cases=make)
            )
    finally:
        print_speeds(rows)
        if rows and options.out is not None:
            write_atomically(options.out, to_csv(with_machine(rows, ceilings.columns)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
