"""Runs of a sweep in worker processes: the same records as one after the other, and a death costs one run."""

import contextlib
import signal

import psutil
import pytest
from test_commands import sweep

from sandbox.cli import shares, workers
from sandbox.cli.shares import Share, share_out
from sandbox.cli.workers import Ended, Evaluated, Started, train_side_by_side
from sandbox.config import Config
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.run_folder import deaths_of, is_finished
from sandbox.tables import collect
from sandbox.tasks import TASKS
from sandbox.train.config import TrainConfig


@pytest.fixture
def machine(monkeypatch):
    """Eight cores, much memory, no accelerator."""
    monkeypatch.setattr(shares, "available_cores", lambda: 8)
    monkeypatch.setattr(shares, "free_memory", lambda: 2**40)
    monkeypatch.setattr(shares, "has_accelerator", lambda: False)
    return monkeypatch


@pytest.mark.parametrize(
    ("jobs", "total", "waiting", "expected"),
    [
        ("auto", 20, 20, Share(jobs=8, cores=1)),
        ("auto", 3, 3, Share(jobs=3, cores=2)),
        ("auto", 1, 1, Share(jobs=1, cores=8, in_this_process=True)),
        (1, 20, 20, Share(jobs=1, cores=8, in_this_process=True)),
        (4, 20, 20, Share(jobs=4, cores=2)),
        (99, 20, 20, Share(jobs=20, cores=1)),
        ("auto", 20, 1, Share(jobs=1, cores=1)),  # what is left of a sweep has the cores that the others had
    ],
)
def test_cores_are_shared_out(machine, jobs, total, waiting, expected):
    assert share_out(jobs, total, waiting) == expected


def test_little_memory_means_fewer_runs_at_once_on_the_same_cores(machine):
    machine.setattr(shares, "free_memory", lambda: 3 * shares.RUN_BYTES)
    share = share_out("auto", 20, 20)
    assert (share.jobs, share.cores) == (3, 1)
    assert "3.0 GiB" in str(share)


def test_one_process_has_the_accelerator_unless_the_user_says_otherwise(machine):
    machine.setattr(shares, "has_accelerator", lambda: True)
    assert share_out("auto", 20, 20).in_this_process
    assert share_out(2, 20, 20).jobs == 2


def tiny(tmp_path, seed):
    return Config(
        mixer=MIXERS["outer"](d_state=2),
        task=TASKS["mqar"](length=16, pairs=[2, 4], vocab_size=16),
        model=ModelConfig(d_model=8),
        train=TrainConfig(steps=4, eval_every=2, batch_size=4, validation_examples=8, test_examples=8),
        seed=seed,
        output_dir=str(tmp_path),
    )


DEATHS = {
    "training": (Evaluated, signal.SIGKILL, "killed by SIGKILL (out of memory?)"),
    "importing": (Started, signal.SIGTERM, "told to stop by SIGTERM"),  # before it has a folder
}


@pytest.mark.slow(seconds=25)
@pytest.mark.parametrize(("at", "number", "reason"), DEATHS.values(), ids=DEATHS.keys())
def test_a_worker_that_dies_costs_its_run_alone(at, number, reason, tmp_path):
    """Run 0 is killed at this event, run 1 finds its folder taken; run 2 needs a new process and trains."""
    configs = [tiny(tmp_path, seed) for seed in range(3)]
    configs[1].directory.mkdir(parents=True)
    (configs[1].directory / "checkpoints").write_text("not a folder")
    failures = {}
    for event in train_side_by_side(configs, Share(jobs=1, cores=1)):
        if isinstance(event, at) and event.index == 0:
            (worker,) = psutil.Process().children()[-1:]
            worker.send_signal(number)
        if isinstance(event, Ended):
            failures[event.index] = event.reason
    assert failures[0] == reason
    assert deaths_of(configs[0].directory) == [reason]
    assert "Error: " in failures[1]
    assert not failures[2]
    assert [is_finished(config.directory) for config in configs] == [False, True, True]


@pytest.mark.slow(seconds=20)
def test_a_worker_is_replaced_after_so_many_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "RUNS_PER_PROCESS", 2)
    workers_of = {}
    for event in train_side_by_side([tiny(tmp_path, seed) for seed in range(3)], Share(jobs=1, cores=1)):
        if isinstance(event, Evaluated):
            workers_of[event.index] = {child.pid for child in psutil.Process().children() if is_worker(child)}
    assert workers_of[0] == workers_of[1]
    assert len(workers_of[2]) == 1
    assert workers_of[2].isdisjoint(workers_of[0])


def is_worker(process):
    return process.status() != psutil.STATUS_ZOMBIE and "spawn_main" in cmdline(process.pid)


@pytest.mark.slow(seconds=5)
def test_closing_leaves_no_process(tmp_path):
    before = {child.pid for child in psutil.Process().children()}
    with contextlib.closing(train_side_by_side([tiny(tmp_path, 0)] * 2, Share(jobs=2, cores=1))) as events:
        assert isinstance(next(events), Started)
        started = {child.pid for child in psutil.Process().children()} - before
        assert started
    left = [pid for pid in started if psutil.pid_exists(pid) and "resource_tracker" not in cmdline(pid)]
    assert not left


def cmdline(pid):
    return " ".join(psutil.Process(pid).cmdline())


@pytest.mark.slow(seconds=50)
def test_the_same_records_side_by_side_and_one_after_the_other(tmp_path):
    """To the bit, where a run has as many threads: another number sums in another order."""
    runs = {"auto": {"NPROC": "2"}, "1": {"NPROC": "1"}}
    for jobs, environment in runs.items():
        result = sweep(tmp_path / jobs, f"jobs={jobs}", environment=environment)
        assert result.returncode == 0, result.stderr
        assert result.stderr == "", "third parties must be silent"
        assert ("2 at a time on 1 core each" in result.stdout) == (jobs == "auto")
    one, other = (collect(tmp_path / jobs / "runs").drop(columns="seconds") for jobs in runs)
    assert one.equals(other)
    assert set(one["platform"]) == {"cpu, 1 core"}
