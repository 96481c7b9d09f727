"""Our kernels beside fla-core's Triton kernels and jax-linear-attention's, in one process on one GPU.

    python benchmarks/scans_against_fla.py --out benchmarks/results/scans_fla_h200.csv

GLA with a decay per head and per channel, gated delta, KDA and RWKV-7, each on the same inputs. What an
implementation computes is compared with our chunked form before it is timed: outputs and the gradient of every
input. All of one case take turns. Calls queue up on the device for both frameworks, and a block of them is waited
for as a whole. Needs a GPU with CUDA, torch, triton and fla-core; jax-linear-attention where it is installed.
"""

import argparse
import functools
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # two frameworks share the memory

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import torch

from sandbox.cost.scan_cases import DIRECTIONS, Case, Setting, bind, make_cases
from sandbox.cost.scan_peers import why_no_peers
from sandbox.cost.scan_speed import TOLERANCES
from sandbox.cost.timing import Call, measure, speed_ratio, spread
from sandbox.scans.check import relative_rms_errors

REFERENCE, OURS, FLA = "chunked", "pallas", "fla, triton"


@dataclass(frozen=True)
class Operation:
    """One of fla's, and what it calls our inputs."""

    module: str
    function: str
    names: dict[str, str]
    """Our name of an input to theirs, where they differ."""


OPERATIONS = {
    ("gated_linear_attention", "scalar decay"): Operation("simple_gla", "chunk_simple_gla", {"log_decay": "g"}),
    ("gated_linear_attention", "channel decay"): Operation("gla", "chunk_gla", {"log_decay": "g"}),
    ("gated_delta_rule", "scalar decay"): Operation(
        "gated_delta_rule", "chunk_gated_delta_rule", {"log_decay": "g"}
    ),
    ("gated_delta_rule", "channel decay"): Operation("kda", "chunk_kda", {"log_decay": "g"}),
    ("generalized_delta_rule", "channel decay"): Operation("rwkv7", "chunk_rwkv7", {"q": "r", "log_decay": "w"}),
}


class Queued:
    """Torch tensors that the device still works on; `jax.block_until_ready` waits for them too."""

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        self.tensors = tensors

    def block_until_ready(self) -> "Queued":
        """Waits for the device."""
        torch.cuda.synchronize()
        return self


def to_torch(array: jax.Array) -> torch.Tensor:
    """On the device, in the same precision."""
    tensor = torch.from_numpy(np.array(array, np.float32)).cuda()
    return tensor.bfloat16() if array.dtype == jnp.bfloat16 else tensor


def to_numpy(leaves: list[Any]) -> list[np.ndarray]:
    """In float32."""
    return [
        leaf.detach().float().cpu().numpy() if isinstance(leaf, torch.Tensor) else np.asarray(leaf, np.float32)
        for leaf in leaves
    ]


def call_fla(operation: Operation, direction: str, arguments: tuple[Any, ...]) -> Call:
    """`arguments` are those of `bind`: inputs, and for the backward pass the gradients of the outputs."""
    run: Callable[..., Any] = getattr(importlib.import_module(f"fla.ops.{operation.module}"), operation.function)
    forward_only = direction == "forward"
    (inputs,) = arguments if forward_only else arguments[0]
    leaves = [to_torch(leaf).requires_grad_(not forward_only) for leaf in jax.tree.leaves(inputs)]
    cotangent = None if forward_only else to_torch(arguments[1])
    fields = [field for field in inputs._fields if getattr(inputs, field) is not None]

    def call() -> Queued:
        # One number per head has an axis of its own with us, and none with them.
        named = {
            operation.names.get(field, field): leaf[..., 0] if leaf.shape[-1] == 1 else leaf
            for field, leaf in zip(fields, leaves, strict=True)
        }
        outputs, _ = run(**named, scale=1.0)
        gradients = [] if forward_only else torch.autograd.grad(outputs, leaves, cotangent)
        return Queued([outputs, *gradients])

    return call


def make_calls(case: Case, direction: str) -> dict[str, Call]:
    """Every implementation of a case, not compiled yet."""
    calls: dict[str, Call] = {}
    for name, function in case.functions.items():
        bound, *arguments = bind(direction, function, case.inputs)
        calls[name] = functools.partial(jax.jit(bound), *arguments)
    calls[FLA] = call_fla(OPERATIONS[case.rule, case.kind], direction, tuple(arguments))
    return calls


def time_case(case: Case, direction: str, tolerance: float, rounds: int) -> list[dict[str, Any]]:
    """A row per implementation: seconds, or why there are none."""
    rows: list[dict[str, Any]] = []
    ready: dict[str, Call] = {}
    expected: list[np.ndarray] | None = None
    for name, call in make_calls(case, direction).items():
        row: dict[str, Any] = {
            "rule": case.rule,
            "kind": case.kind,
            "implementation": name,
            "direction": direction,
        }
        rows.append(row)
        try:
            result = jax.block_until_ready(call())
        except Exception as error:  # whatever three packages and their compilers raise
            row["not_timed"] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"[:200]
            continue
        found = to_numpy(result.tensors if isinstance(result, Queued) else jax.tree.leaves(result))
        expected = found if expected is None else expected
        errors = [float(relative_rms_errors(*pair).max()) for pair in zip(expected, found, strict=True)]
        row["difference"] = max(errors)
        if max(errors) <= tolerance:
            ready[name] = call
        else:
            row["not_timed"] = f"differs from {REFERENCE}: {', '.join(f'{error:.1e}' for error in errors)}"
    seconds = measure(ready, rounds=rounds)
    for row in rows:
        if (times := seconds.get(row["implementation"])) is not None:
            row["low_seconds"], row["median_seconds"], row["high_seconds"] = spread(times)
            if OURS in seconds:
                row["speed_to_pallas"] = speed_ratio(times, seconds[OURS]).middle
    return rows


def main() -> None:
    """Compares, times, prints, and writes after every case what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="CSV file")
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 2048], help="tokens of a sequence")
    parser.add_argument("--batch", type=int, default=64, help="sequences at T=512")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--width", type=int, default=64, help="rows and columns of a head's state")
    parser.add_argument("--dtype", choices=tuple(TOLERANCES), default="bfloat16")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    setting = Setting(
        rules=list(dict.fromkeys(rule for rule, _ in OPERATIONS)),
        kinds=list(dict.fromkeys(kind for _, kind in OPERATIONS)),
        implementations=[REFERENCE, OURS],
        lengths=options.lengths,
        batch=options.batch,
        heads=options.heads,
        rows=options.width,
        columns=options.width,
        chunk_size=None,
        dtype=options.dtype,
        with_peers=why_no_peers() is None,
    )
    machine = {"device": jax.devices()[0].device_kind, "jax": jax.__version__, "torch": torch.__version__}
    rows: list[dict[str, Any]] = []
    for tokens in options.lengths:
        sizes = {"length": tokens, "batch": setting.batch_at(tokens), "heads": options.heads}
        sizes |= {"rows": options.width, "columns": options.width, "dtype": options.dtype}
        for case in make_cases(setting, tokens):
            if (case.rule, case.kind) not in OPERATIONS:
                continue
            for direction in DIRECTIONS:
                found = time_case(case, direction, TOLERANCES[options.dtype], options.rounds)
                rows += [row | sizes | machine for row in found]
                print(pd.DataFrame(found).drop(columns=["rule"]).to_string(), flush=True)
                if options.out:
                    pd.DataFrame(rows).to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
