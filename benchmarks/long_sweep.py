"""What a long sweep costs beside training: memory of a process with many runs, and the time to skip finished ones.

Memory: small runs of different shapes, one after the other in one process, as a worker trains them. Finished runs:
the command of a sweep whose runs are all there, until it says so, until it has reported on them, and once more.
Run: `python benchmarks/long_sweep.py --out benchmarks/results/long_sweep.csv`.
"""

import argparse
import dataclasses
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import jax
import pandas as pd
import psutil

from sandbox.cli.memory import release_memory
from sandbox.cli.startup import silence_third_parties, use_compile_cache
from sandbox.config import Config
from sandbox.files import write_atomically
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.run import run
from sandbox.run_folder import METRICS, write_summary
from sandbox.tasks import TASKS
from sandbox.train.config import TrainConfig

TINY = {
    "train": {
        "steps": 4,
        "eval_every": 2,
        "batch_size": 4,
        "num_seeds": 1,
        "learning_rates": [0.01],
        "validation_examples": 16,
        "test_examples": 16,
    },
    "task": {"vocab_size": 16, "length": 8, "pairs": [1, 2]},
    "model": {"d_model": 16, "layout": ["mixer"]},
}


def config(size: int, folder: str) -> Config:
    return Config(
        mixer=MIXERS["outer"](d_state=size),
        task=TASKS["mqar"](**TINY["task"]),
        model=ModelConfig(**TINY["model"]),
        train=TrainConfig(**TINY["train"]),
        output_dir=folder,
    )


def overrides() -> list[str]:
    """The same options as on the command line."""
    texts = {f"{group}.{key}": value for group, options in TINY.items() for key, value in options.items()}
    return [f"{key}={str(value).replace(' ', '')}" for key, value in texts.items()]


def memory(runs: int) -> list[dict[str, float]]:
    """Rows of memory maps and resident MB after every tenth of the runs, with the CPU seconds of a run.

    The sizes come in a mixed order: a larger model needs more memory, which is no growth of the process.
    """
    sizes = random.Random(0).sample(range(1, runs + 1), runs)
    rows, every = [], max(runs // 10, 1)
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update("jax_compilation_cache_dir", f"{folder}/compiled")  # empty: every run compiles
        began = time.process_time()
        for number, size in enumerate(sizes, 1):
            run(config(size, folder))
            release_memory()  # as a worker does
            if number % every == 0:
                seconds, began = (time.process_time() - began) / every, time.process_time()
                process = psutil.Process()
                maps, resident = len(process.memory_maps(grouped=False)), process.memory_info().rss / 1e6
                rows.append(
                    {"runs": number, "maps": maps, "resident_mb": resident, "cpu_seconds_per_run": seconds}
                )
                print(
                    "{runs} runs: {maps} maps, {resident_mb:.0f} MB, {cpu_seconds_per_run:.2f} CPU s a run".format(
                        **rows[-1]
                    )
                )
    return rows


def skipping(runs: int) -> dict[str, float]:
    """Seconds of a command whose runs are all finished."""
    with tempfile.TemporaryDirectory() as folder:
        first = config(1, folder)
        records = run(first)
        for size in range(2, runs + 1):
            other = config(size, folder)
            other.directory.mkdir()
            write_atomically(other.directory / METRICS, (first.directory / METRICS).read_text())
            options = {**records[0].config, "mixer.d_state": size}
            changes = {"run_id": other.run_id, "state_bytes": 64 * size, "config": options}
            write_summary(other.directory, [dataclasses.replace(record, **changes) for record in records])
        command = [sys.executable, "-c", "from sandbox.cli.main import main; main()", "-m", "mixer=outer"]
        sizes = f"mixer.d_state={','.join(map(str, range(1, runs + 1)))}"
        command += [sizes, *overrides(), f"output_dir={folder}"]
        _, reported = timed(command, runs)
        found, again = timed(command, runs)
    print(f"{runs} finished runs: known after {found:.1f} s; command {reported:.1f} s, again {again:.1f} s")
    return {"runs": runs, "known_seconds": found, "reported_seconds": reported, "again_seconds": again}


def timed(command: list[str], runs: int) -> tuple[float, float]:
    """Seconds until a command has said that all its runs are done, and until it has ended."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = time.monotonic() - began
    assert line == f"{runs} runs: {runs} done already, 0 to do\n", line
    process.communicate()
    return found, time.monotonic() - began


def main() -> None:
    """Parses the options, measures, and writes a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=200, help="runs in one process (default: %(default)s)")
    parser.add_argument("--finished", type=int, default=400, help="finished runs, or 0 (default: %(default)s)")
    parser.add_argument("--out", type=pathlib.Path, help="CSV to write")
    options = parser.parse_args()
    silence_third_parties()
    use_compile_cache()
    skipped = [skipping(options.finished)] if options.finished else []
    table = pd.DataFrame([*memory(options.runs), *skipped]).assign(**{"versions.jax": jax.__version__})
    if options.out:
        write_atomically(options.out, table.to_csv(index=False, lineterminator="\n", float_format="%.3g"))


if __name__ == "__main__":
    main()
