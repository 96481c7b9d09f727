"""Seconds of a whole sweep in three ways: what trains on the cores of this machine at the same time.

`operations`: one run after the other (jobs=1), one member after the other; XLA divides single operations.
`members`: one run after the other, its members on a core each. `runs`: side by side, a core each (jobs=auto).

The sweep is the quickstart with its steps cut down, or what the further arguments say. Every way starts the
command anew in an empty folder, and they alternate; a first round of each fills the compile cache and is not
counted. CPU seconds hardly depend on how busy the machine is.
Run: `python benchmarks/sweep.py --out benchmarks/results/sweep.csv`.
"""

import argparse
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import pandas as pd

from sandbox.cores import available_cores

DEFAULT = ["experiment=quickstart", "mixer.d_state=8,16", "train.steps=400", "train.num_seeds=2"]
DEFAULT += ["train.learning_rates=[0.01,0.02]"]
COMMAND = [sys.executable, "-c", "from sandbox.cli.main import main; main()", "-m"]
ONE_DEVICE = "--xla_force_host_platform_device_count=1"
WAYS = {"operations": ("1", {"XLA_FLAGS": ONE_DEVICE}), "members": ("1", {}), "runs": ("auto", {})}
"""What shares the cores: the value of `jobs`, and the environment."""


def measure(overrides: list[str], jobs: str, environment: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of one sweep, its report included."""
    with tempfile.TemporaryDirectory() as folder:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(
            [*COMMAND, *overrides, f"jobs={jobs}", f"output_dir={folder}"],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | environment,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Parses the options, measures, prints the ratio, and writes a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "overrides", nargs="*", default=DEFAULT, help=f"of the sweep (default: {' '.join(DEFAULT)})"
    )
    parser.add_argument("--rounds", type=int, default=3, help="timed sweeps of each way")
    parser.add_argument("--out", type=pathlib.Path, help="CSV to write")
    options = parser.parse_args()
    rounds = [
        {name: measure(options.overrides, *way) for name, way in WAYS.items()} for _ in range(options.rounds + 1)
    ][1:]
    rows = []
    for name in WAYS:
        wall, cpu = zip(*(taken[name] for taken in rounds), strict=True)
        rows.append(
            {
                "sweep": " ".join(options.overrides),
                "side_by_side": name,
                "cores": available_cores(),
                "rounds": options.rounds,
                "seconds": statistics.median(wall),
                "cpu_seconds": statistics.median(cpu),
                "speed_to_operations": statistics.median(t["operations"][0] / t[name][0] for t in rounds),
                "load_average": os.getloadavg()[0],
                "versions.python": platform.python_version(),
            }
        )
    table = pd.DataFrame(rows).round(3)
    print(table.to_string(index=False))
    if options.out:
        table.to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
