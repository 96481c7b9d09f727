"""Seconds of a training step, of compiling it, and its memory: every mixer beside softmax attention on this CPU.

A model is two layers of a mixer with its defaults, without a channel mixer, trained on multi-query associative
recall with a vocabulary of 256. Blocks of steps of a mixer alternate with blocks of softmax and, with
`--beside CHECKOUT`, with those of another checkout of this repository, so that ratios hold on an unsteady machine:
`python benchmarks/family.py --out benchmarks/results/family.csv`.

Columns: `step_ms`, the median over rounds; `to_softmax`, the median of a round's ratio to softmax of the same
checkout, with its 10 % and 90 % quantiles; `speedup`, the median of a round's ratio of the other checkout's step
to this one's; `cpu_ms`, the CPU time of a step on all cores, the least of the rounds, which other work on the
machine affects less; `trace_seconds` and `compile_seconds` from an empty cache; `peak_mb`, the arrays that the
compiled steps hold at once: parameters, optimiser, the batches of a block, and temporaries.
"""

import argparse
import csv
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

BASELINE = "softmax"
VOCABULARY, PAIRS, LAYERS = 256, [4], 2
BLOCK_SECONDS = 0.25
STEPS = 10
"""Steps whose data are drawn at once; a block is a multiple of it."""


class Size(NamedTuple):
    """What the time of a step depends on."""

    width: int
    batch: int
    length: int


SIZES = {"small": Size(64, 32, 64), "long": Size(64, 8, 512), "wide": Size(256, 16, 128)}


class Trainer:
    """One model and its population of one, compiled; runs in a worker."""

    def __init__(self, mixer: str, size: Size):
        from sandbox.models.lm import ModelConfig
        from sandbox.models.mixers import MIXERS
        from sandbox.tasks.mqar import MQARConfig
        from sandbox.train.config import TrainConfig
        from sandbox.train.population import draw_training, init_population, train_segment
        from sandbox.train.step import Problem

        train = TrainConfig(
            steps=10**7, batch_size=size.batch, learning_rates=[1e-4], num_seeds=1, eval_every=STEPS
        )
        self.problem = Problem(
            ModelConfig(d_model=size.width, layout=[f"mixer*{LAYERS}"]),
            MIXERS[mixer](),
            MQARConfig(vocab_size=VOCABULARY, length=size.length, pairs=PAIRS),
            train,
        )
        self.population = init_population(self.problem, 0)
        seeds = self.population.seed[: train.num_seeds]
        batches = draw_training(self.problem.task, seeds, 0, STEPS, size.batch, train.num_examples)
        began = time.perf_counter()
        traced = train_segment.trace(self.problem, self.population, batches, 0, 1)
        self.trace_seconds = time.perf_counter() - began
        lowered = traced.lower()
        began = time.perf_counter()
        memory = lowered.compile().memory_analysis()
        self.compile_seconds = time.perf_counter() - began
        held = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        self.peak_mb = held / 1e6
        self.start = 0
        self.advance(STEPS)
        self.count = STEPS * max(1, round(BLOCK_SECONDS / (STEPS * self.advance(STEPS)[0])))

    def advance(self, count: int) -> tuple[float, float]:
        """Seconds and CPU seconds per step of the next `count` steps, from drawing data to the mean loss."""
        from sandbox.train.population import advance

        began, cpu_began = time.perf_counter(), time.process_time()
        self.population, _ = advance(self.problem, self.population, self.start, self.start + count)
        self.start += count
        return (time.perf_counter() - began) / count, (time.process_time() - cpu_began) / count


def serve() -> None:
    """A worker: answers requests, a line of JSON each, with the `sandbox` that its PYTHONPATH names."""
    import sandbox.xla_workarounds  # noqa: F401, I001  (before jax, so that its XLA flags are set)
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update(
        "jax_compilation_cache_dir", tempfile.mkdtemp()
    )  # what is measured is read back when it runs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    trainers: dict[str, Trainer] = {}
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        name, answer = request["mixer"], {}
        match request["do"]:
            case "compile":
                trainers[name] = trainer = Trainer(name, Size(*request["size"]))
                answer = {key: getattr(trainer, key) for key in ("trace_seconds", "compile_seconds", "peak_mb")}
            case "block":
                seconds, cpu_seconds = trainers[name].advance(trainers[name].count)
                answer = {"seconds": seconds, "cpu_seconds": cpu_seconds}
            case "forget":
                del trainers[name]
                jax.clear_caches()
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """A process with the `sandbox` of one checkout."""

    def __init__(self, checkout: pathlib.Path):
        commit = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
        self.commit = commit.stdout.strip()
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )

    def ask(self, **request: Any) -> dict[str, float]:
        """Sends a request, and waits for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"the worker of {self.commit} ended at {request}")
        return json.loads(line)


def measure(workers: Sequence[Worker], mixer: str, size: Size, rounds: int) -> list[dict[str, Any]]:
    """The table rows of a mixer, one per worker; all of them hold softmax at this size."""
    compiled = [worker.ask(do="compile", mixer=mixer, size=size) for worker in workers]
    seconds, cpu_seconds = np.zeros((2, rounds, len(workers), 2))
    for number in range(rounds):
        for index in np.roll(np.arange(len(workers)), number):
            for column, name in enumerate((BASELINE, mixer)):
                answer = workers[index].ask(do="block", mixer=name)
                seconds[number, index, column] = answer["seconds"]
                cpu_seconds[number, index, column] = answer["cpu_seconds"]
    rows = []
    for index, (worker, costs) in enumerate(zip(workers, compiled, strict=True)):
        ratios = seconds[:, index, 1] / seconds[:, index, 0]
        low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9])
        row = {"mixer": mixer, "width": size.width, "batch": size.batch, "length": size.length}
        row |= {"commit": worker.commit, "step_ms": 1e3 * np.median(seconds[:, index, 1])}
        row |= {"to_softmax": middle, "to_softmax_low": low, "to_softmax_high": high}
        speedup = np.median(seconds[:, -1, 1] / seconds[:, index, 1]) if len(workers) > 1 else np.nan
        row |= {"speedup": speedup, "cpu_ms": 1e3 * cpu_seconds[:, index, 1].min(), **costs, "rounds": rounds}
        rows.append({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()})
        if mixer != BASELINE:
            worker.ask(do="forget", mixer=mixer)
    return rows


def main() -> None:
    """Measures the mixers and sizes that are asked for, and writes the table row by row."""
    from sandbox.models.mixers import MIXERS

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mixers", nargs="+", default=list(MIXERS), choices=list(MIXERS))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--beside", type=pathlib.Path, help="another checkout of this repository")
    parser.add_argument("--out", type=pathlib.Path, help="CSV file to write")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    here = pathlib.Path(__file__).parents[1]
    workers = [Worker(checkout) for checkout in (here, options.beside) if checkout is not None]
    print(f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores")
    print(f"load average of the last minute {os.getloadavg()[0]:.2f}")
    file = options.out.open("w", newline="") if options.out else None
    writer = None
    for size in map(SIZES.get, options.sizes):
        for mixer in [BASELINE, *(name for name in options.mixers if name != BASELINE)]:
            for row in measure(workers, mixer, size, options.rounds):
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
                if file is not None:
                    if writer is None:
                        writer = csv.DictWriter(file, list(row), lineterminator="\n")
                        writer.writeheader()
                    writer.writerow(row)
                    file.flush()
        for worker in workers:
            worker.ask(do="forget", mixer=BASELINE)


if __name__ == "__main__":
    main()
