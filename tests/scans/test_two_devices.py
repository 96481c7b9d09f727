"""A batch sharded over several devices has the same values and gradients as on one."""

import os
import pathlib
import subprocess
import sys

import pytest

from sandbox.scans import RULES


def compare(*cases):
    program = [sys.executable, pathlib.Path(__file__).with_name("two_devices.py"), *cases]
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    two = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(program, capture_output=True, text=True, env=os.environ | two)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow(seconds=10)
def test_a_batch_over_two_devices():
    """By the two drivers in XLA: `auto` is `chunked` with gradients."""
    compare(*(f"{function}:{implementation}" for function in RULES for implementation in ("recurrent", "auto")))


@pytest.mark.slow(seconds=6)
def test_from_an_empty_state_over_two_devices():
    several = ("gated_linear_attention", "mlstm", "diagonal_scan")
    compare(*(f"{function}:explicit" for function in several), "diagonal_scan:shard_map")


@pytest.mark.slow(seconds=5)
def test_kernels_over_two_devices():
    compare("gated_linear_attention:tpu", "gated_linear_attention:gpu")
