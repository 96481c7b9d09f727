"""What a command sets up before JAX starts."""

import os
import subprocess
import sys

import pytest

from sandbox.cli.startup import use_cores_as_devices

PROGRAM = """
from sandbox.cli.startup import use_cores_as_devices
use_cores_as_devices()
import jax
print(jax.device_count())
"""


@pytest.mark.slow(seconds=4)
@pytest.mark.parametrize(
    ("variables", "devices"),
    [
        ({}, 3),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, 2),
        ({"JAX_NUM_CPU_DEVICES": "2"}, 2),
    ],
)
def test_every_core_is_a_device_unless_a_variable_says_otherwise(variables, devices):
    environment = os.environ | {"NPROC": "3", "XLA_FLAGS": ""} | variables
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.stdout == f"{devices}\n", done.stderr


def test_devices_stay_as_they_are_once_jax_has_started():
    import jax

    before = jax.device_count()
    use_cores_as_devices()
    assert jax.device_count() == before
