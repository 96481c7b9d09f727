"""The package sets XLA's flag when it is imported, without jax, and warns if that is too late."""

import subprocess
import sys

import pytest

IMPORT = "import sandbox, os, sys; print(os.environ['XLA_FLAGS'], 'jax' in sys.modules)"
IMPORT_JAX = "import jax; "
START_JAX = "import jax; jax.devices(); "
FLAG = "--xla_cpu_experimental_ynn_fusion_type="


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"JAX_PLATFORMS": "cpu"} | environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip(), done.stderr.strip()


def test_the_flag_is_set_without_jax():
    assert run(IMPORT) == (f"{FLAG} False", "")


def test_other_flags_are_kept():
    other = "--xla_force_host_platform_device_count=2"
    assert run(IMPORT, XLA_FLAGS=other) == (f"{other} {FLAG} False", "")


@pytest.mark.slow
def test_a_flag_that_comes_too_late_is_a_warning():
    _, warning = run(START_JAX + IMPORT)
    assert "UserWarning: sandbox was imported after JAX had started, too late to set XLA_FLAGS" in warning


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "environment"),
    [(IMPORT_JAX, {}), (START_JAX, {"XLA_FLAGS": FLAG})],
    ids=["jax is imported and has not started", "someone has set the flag"],
)
def test_there_is_no_warning_in_time(before, environment):
    assert run(before + IMPORT, **environment)[1] == ""
