"""How many runs of a sweep train at once, and on how many cores each."""

import dataclasses
import importlib.metadata
import importlib.util
import os

import psutil

from sandbox.cores import available_cores, control_group_limits
from sandbox.counted import counted
from sandbox.option_checks import AUTO

RUN_BYTES = 2**30
"""Memory set aside per run: the quickstart's take 0.65 GiB at most, most of it JAX itself."""


@dataclasses.dataclass(frozen=True)
class Share:
    """What each run of a sweep gets of the machine."""

    jobs: int
    """Runs at once."""
    cores: int
    """Cores of each."""
    in_this_process: bool = False
    """Whether the runs need no processes of their own, because nothing is shared."""
    because: str = ""
    """Why there are no more runs at once, if that is not plain from the cores."""

    def __str__(self) -> str:
        if self.in_this_process:
            text = "one after the other"
        else:
            text = f"{self.jobs} at a time on {counted(self.cores, 'core')} each"
        return f"{text} ({self.because})" if self.because else text


def share_out(jobs: int | str, total: int, waiting: int) -> Share:
    """The share of each run of a sweep.

    The cores of a run depend on the machine and on the size of the whole sweep, not on what is left of it or on
    free memory: another number of threads sums in another order, and a resumed sweep ends with the same bits.

    Args:
        jobs: `auto` or a number.
        total: runs of the sweep, the finished ones among them.
        waiting: runs to start now.
    """
    if jobs == AUTO and has_accelerator():
        because = "a process takes the whole accelerator; jobs=N shares it"
        return Share(1, available_cores(), in_this_process=True, because=because)
    available = available_cores()
    cores = max(1, available // min(total, available if jobs == AUTO else int(jobs)))
    at_once = min(waiting, available // cores if jobs == AUTO else int(jobs))
    if jobs == AUTO and (free := free_memory()) < at_once * RUN_BYTES:
        because = f"more would not fit into {free / 2**30:.1f} GiB of free memory"
        return Share(max(1, free // RUN_BYTES), cores, because=because)
    return Share(at_once, cores, in_this_process=cores == available and at_once == 1)


def free_memory() -> int:
    """Bytes that new processes can have: of the machine, or of the control group if it allows less."""
    free = [psutil.virtual_memory().available]
    limits, used = control_group_limits("memory.max"), control_group_limits("memory.current")
    free += [int(limit) - int(use) for limit, use in zip(limits, used, strict=False) if limit.strip() != "max"]
    return max(0, min(free))


def has_accelerator() -> bool:
    """Whether JAX computes on something else than CPUs.

    Starts JAX only if one of the packages is installed that bring another backend, so that a sweep's own process
    stays light and, beside worker processes, keeps off the device.
    """
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    if os.environ.get("JAX_PLATFORMS") == "cpu" or not (plugins or importlib.util.find_spec("libtpu")):
        return False
    import jax

    return jax.default_backend() != "cpu"
