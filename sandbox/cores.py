"""The cores that this process may use, as XLA counts them and as the system allows them."""

import os
import pathlib
from collections.abc import Iterator

NPROC = "NPROC"
"""Environment variable with which XLA's CPU client replaces the number of cores as the size of its thread pool."""


def num_threads() -> int:
    """The threads that compute in XLA's CPU client: `NPROC`, or the cores that this process may run on."""
    asked = os.environ.get(NPROC, "")
    return int(asked) if asked.isdecimal() and int(asked) else _schedulable_cores()


def available_cores() -> int:
    """The cores to share out: `num_threads`, or fewer if the process's control group has a smaller quota."""
    return max(1, min([num_threads(), *(int(quota) for quota in _cpu_quotas())]))


def _schedulable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_quotas() -> Iterator[float]:
    for text in control_group_limits("cpu.max"):
        quota, period = text.split()
        if quota != "max":
            yield int(quota) / int(period)


def control_group_limits(name: str) -> Iterator[str]:
    """The text of a file such as `memory.max` in this process's control group and in those around it.

    Nothing where there are no control groups of version 2: containers and Slurm have them.
    """
    root = pathlib.Path("/sys/fs/cgroup")
    try:
        group = pathlib.PurePosixPath(pathlib.Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip())
    except OSError:
        return
    for folder in (group, *group.parents):
        file = root / folder.relative_to("/") / name
        if file.is_file():
            yield file.read_text()
