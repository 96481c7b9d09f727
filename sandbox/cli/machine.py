"""The machine that a command measures on, as a line in the terminal and as columns of its tables."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import pandas as pd

from sandbox.cli.display import console


def print_machine() -> None:
    """Prints the version of jax, the device, and how busy the machine is."""
    device = jax.devices()[0]
    console.print(
        f"jax {jax.__version__} on {device.platform} ({device.device_kind}), {os.cpu_count()} cores, "
        f"load average of the last minute {os.getloadavg()[0]:.1f}"
    )


def with_machine(rows: Sequence[Any], columns: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """A data frame of all fields of these dataclasses, the machine, and further `columns` of one value each."""
    device = jax.devices()[0]
    constants = {
        "platform": device.platform,
        "device": device.device_kind,
        "cores": os.cpu_count(),
        "versions.jax": jax.__version__,
        **(columns or {}),
    }
    return pd.DataFrame([dataclasses.asdict(row) | constants for row in rows])
