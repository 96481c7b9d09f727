"""The runs of a sweep as one array job of Slurm: what hydra-submitit-launcher leaves to the application.

The library submits the jobs and requeues them. Here a run that Slurm stops leaves a checkpoint, whichever signal
comes; and one that is lost, cancelled for instance, costs the others nothing.
"""

import itertools
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from omegaconf import OmegaConf
from submitit.core.utils import FailedJobError, UncompletedJobError

from sandbox.cli.display import console
from sandbox.cli.input_errors import first_line
from sandbox.cli.startup import silence_third_parties
from sandbox.cli.sweep import RunFailed
from sandbox.counted import counted
from sandbox.errors import InputError
from sandbox.stopping import Stopped, request_stop, stop_with

NO_ACCOUNTING = (
    "this Slurm keeps no accounts (sacct fails): the sweep cannot see that a job was cancelled or lost, and would "
    "wait for it. If one was, stop this command with Ctrl-C and start it again"
)


class OutOfTime(SystemExit):
    """A job came to its time limit once more than it may be requeued."""


class ArrayLauncher(SlurmLauncher):
    """Submits one array job. Its copy on a node, which submitit calls there, trains one run."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Waits for all runs; the return of one that Slurm lost says why.

        Raises InputError if there is no Slurm here, or if it refuses the job.
        """
        _check_slurm()
        indices = range(initial_job_idx, initial_job_idx + len(job_overrides))
        runs = [list(overrides) for overrides in job_overrides]
        ids = [f"job_id_for_{index}" for index in indices]
        folder, state = itertools.repeat("hydra.sweep.dir"), itertools.repeat(Singleton.get_state())
        try:
            jobs = self._executor().map_array(self, runs, folder, indices, ids, state)
        except FailedJobError as error:
            raise InputError(f"hydra/launcher=submitit_slurm: {_reason_of_sbatch(error)}") from error
        number = jobs[0].job_id.partition("_")[0]
        console.print(
            f"Slurm job {number}: {counted(len(jobs), 'run')}, logs in "
            f"{jobs[0].paths.folder.parent}; `scancel {number}` ends them, Ctrl-C this command alone"
        )
        return [_return_of(job, run) for job, run in zip(jobs, runs, strict=True)]

    def _executor(self) -> submitit.AutoExecutor:
        common = OmegaConf.structured(BaseQueueConf).keys()
        options = {name if name in common else f"slurm_{name}": value for name, value in self.params.items()}
        executor = submitit.AutoExecutor(
            folder=options.pop("submitit_folder"),
            cluster="slurm",
            slurm_max_num_timeout=options.pop("slurm_max_num_timeout"),
        )
        executor.update_parameters(**options)
        return executor

    def __call__(self, sweep_overrides: list[str], *arguments: Any) -> JobReturn:
        """Trains one run on a node of the cluster."""
        silence_third_parties()
        _stop_on_signals()
        try:
            return super().__call__(sweep_overrides, *arguments)
        except OutOfTime as error:
            failed = RunFailed(f"{error} The same command goes on from its checkpoint")
            return JobReturn(overrides=sweep_overrides, status=JobStatus.FAILED, _return_value=failed)
        except Stopped:  # preempted or cancelled; Slurm would take a job that ends now for one that failed
            while True:
                signal.pause()


def _stop_on_signals() -> None:
    """A job stops at its time limit, as submitit says, and on SIGTERM, which submitit ignores."""
    time_limit = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")
    requeue: Callable[[int, FrameType | None], None] = signal.getsignal(time_limit)  # type: ignore[assignment]

    def stop_and_requeue() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm sends it next; the checkpoint comes first
        try:
            requeue(time_limit, None)
        except UncompletedJobError as error:
            raise OutOfTime(str(error)) from None

    signal.signal(time_limit, lambda number, frame: stop_with(stop_and_requeue))
    signal.signal(signal.SIGTERM, request_stop)


def _return_of(job: submitit.Job[JobReturn], overrides: list[str]) -> JobReturn:
    try:
        return job.result()
    except UncompletedJobError:  # FailedJobError is one
        reason = f"Slurm job {job.job_id} ended without a result ({job.state}); its log: {job.paths.stderr}"
        return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=RunFailed(reason))


def _check_slurm() -> None:
    if shutil.which("srun") is None:
        raise InputError(
            "hydra/launcher=submitit_slurm: no Slurm on this machine (no command srun); start the sweep where you "
            "would type sbatch"
        )
    if subprocess.run(["sacct", "--noheader"], capture_output=True, check=False).returncode:
        console.print(NO_ACCOUNTING)


def _reason_of_sbatch(error: FailedJobError) -> str:
    lines = [line for line in str(error).splitlines() if line.startswith("sbatch: error: ")]
    return lines[-1] if lines else first_line(str(error))
