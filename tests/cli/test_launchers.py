"""Launchers that send runs to processes of their own, without Slurm and without Ray."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from command import COMMAND
from hydra import compose, initialize_config_dir
from test_commands import TINY, call

from sandbox.cli import launchers
from sandbox.cli.compose import conf_dir, from_hydra, register_schema
from sandbox.cli.startup import silence_third_parties
from sandbox.errors import InputError
from sandbox.run_folder import TRAINING

FAKE = """
import pickle
from hydra.core.config_store import ConfigStore
from hydra.core.utils import run_job
from hydra._internal.core_plugins.basic_launcher import BasicLauncher

class Fake(BasicLauncher):
    def launch(self, job_overrides, initial_job_idx):
        from sandbox.cli import display
        display.sweep_progress = display.SweepProgress()  # that of another process
        self.config = pickle.loads(pickle.dumps(self.config))
        super().launch(job_overrides[:1], initial_job_idx)
        raise RuntimeError("job 7_1 was cancelled\\nits log: ...")

target = "hydra_plugins.fake_launcher.Fake"
ConfigStore.instance().store(group="hydra/launcher", name="fake", node={"_target_": target})
"""


@pytest.mark.slow(seconds=15)
def test_a_launcher_of_others_that_loses_a_run(tmp_path):
    """It pickles the config; the run that it did is reported, under a name of its own; the other is told."""
    plugin = tmp_path / "hydra_plugins" / "fake_launcher"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(FAKE)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    sweep = ["hydra/launcher=fake", "mixer=outer", "mixer.d_state=2,4", *TINY, f"output_dir={tmp_path}"]
    done = call("sandbox", "-m", *sweep, environment={"PYTHONPATH": path})
    assert done.returncode == 1
    assert "\nouter mixer.d_state=2 · 4 members x 4 steps\n" in done.stdout
    assert "test accuracy, per cent" in done.stdout
    assert done.stderr == (
        "1 of 2 runs failed:\nmixer.d_state=4: not finished (RuntimeError: job 7_1 was cancelled)\n"
    )


WAITING = """
import os
import pathlib
import time
from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher

class Waiting(Launcher):
    def setup(self, **keywords):
        pass

    def launch(self, job_overrides, initial_job_idx):
        note = pathlib.Path(os.environ["NOTE"])  # of a process that trains, and is killed with the command
        note.parent.mkdir(parents=True)
        note.write_text("")
        print("launched", flush=True)
        time.sleep(300)

target = "hydra_plugins.waiting_launcher.Waiting"
ConfigStore.instance().store(group="hydra/launcher", name="waiting", node={"_target_": target})
"""


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_ends_that_waits_for_the_launcher_of_others(number, tmp_path):
    plugin = tmp_path / "hydra_plugins" / "waiting_launcher"
    plugin.mkdir(parents=True)
    run = composed_run("mixer=outer", "mixer.d_state=4", *TINY, f"output_dir={tmp_path}")
    before = composed_run("mixer=outer", "mixer.d_state=2", *TINY, f"output_dir={tmp_path}")
    before.directory.mkdir(parents=True)
    (before.directory / TRAINING).write_text("process 1 trains this run\n")
    (plugin / "__init__.py").write_text(WAITING)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    sweep = ["hydra/launcher=waiting", "mixer=outer", "mixer.d_state=2,4", *TINY, f"output_dir={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "-m", *sweep],
        env=os.environ | {"PYTHONPATH": path, "NOTE": str(run.directory / TRAINING)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    while "launched" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors == "stopped; the same command goes on from the newest checkpoints\n"
    assert run.directory.is_dir()
    assert not (run.directory / TRAINING).exists(), "it would count as a death"
    assert (before.directory / TRAINING).exists(), "an earlier command's process has died of this one"


def composed_run(*overrides):
    """The config of a run with these overrides."""
    register_schema()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return from_hydra(compose("config", list(overrides)))


@pytest.mark.parametrize("name", launchers.EXTRAS)
def test_the_ready_files_need_no_further_key(name, monkeypatch):
    """And logs lie in the folder of the study."""
    silence_third_parties()
    register_schema()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        overrides = [f"hydra/launcher={name}", "output_dir=there", "study=mine"]
        composed = compose("config", overrides, return_hydra_config=True)
    options = composed.hydra.launcher
    if name == "ray":
        assert options.ray.init.object_store_memory is None, "a running cluster refuses it"
    else:
        assert options.submitit_folder == "there/mine/.submitit/%j"

    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"^hydra/launcher={name} needs the package .*: `uv sync --extra "):
        launchers.check_installed(name)


SBATCH = """#!/bin/bash
# Starts the first job of an array and loses the second.
export SLURM_JOB_ID=8 SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=0 SLURM_CPUS_ON_NODE=1
script=$(cat "$1")
setsid bash -c "$script" > {log} 2>&1 < /dev/null &
echo "Submitted batch job 7"
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do [[ $1 == *=* || $1 == --unbuffered ]] && shift || shift 2; done
exec "$@"
"""
SACCT = """#!/bin/bash
printf 'JobID|State|NodeList\\n7_0|RUNNING|here\\n7_1|CANCELLED by 0|here\\n'
"""


@pytest.mark.slow(seconds=45)
def test_slurm_loses_a_run(tmp_path):
    pytest.importorskip("submitit", reason="needs the extra `slurm`")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"sbatch": SBATCH.format(log=tmp_path / "log"), "srun": SRUN, "sacct": SACCT}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    sweep = ["hydra/launcher=submitit_slurm", "mixer=outer", "mixer.d_state=2,4", *TINY, f"output_dir={tmp_path}"]
    done = call("sandbox", "-m", *sweep, environment={"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"})
    assert done.returncode == 1
    logs = pathlib.Path(tmp_path, "runs", ".submitit")
    assert f"Slurm job 7: 2 runs, logs in {logs}" in done.stdout
    assert "test accuracy, per cent" in done.stdout
    lost = f"Slurm job 7_1 ended without a result (CANCELLED by 0); its log: {logs}/7_1/7_1_0_log.err"
    assert done.stderr.endswith(f"1 of 2 runs failed:\nmixer.d_state=4: {lost}\n")
