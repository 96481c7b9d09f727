"""A sweep: its runs launched and reported on together."""

import contextlib
import time
from collections.abc import Mapping, Sequence

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, open_dict

from sandbox.cli.compose_runs import refuse_impossible
from sandbox.cli.grids import Job, keys_apart, quoted, what_differs
from sandbox.cli.input_errors import first_line
from sandbox.cli.plan import RETRY, Plan, Runs, print_dry_run
from sandbox.errors import InputError
from sandbox.files import make_writable
from sandbox.run_folder import (
    RunBusy,
    RunState,
    forget_deaths,
    forget_training_of,
    has_note,
    is_locked,
    state_of,
)
from sandbox.stopping import Stopped, check_stop, stopping_at_once


class RunFailed(RuntimeError):
    """A run failed in another process; the message says why."""


class RunDied(RunFailed):
    """The process of a run died; the message says how."""


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; the message names them."""


SETTLED = (RunState.finished, RunState.fatal)
"""States of a run that a sweep leaves as it is."""

POLL_SECONDS = 1.0
"""Time between two looks at runs that other commands train."""


def tell_same_keys(base: DictConfig, runs: Runs) -> None:
    """Lets every run know which keys do not tell it from the others, of which a process of its own knows nothing.

    They stand where Hydra has those that are to be left out of a run's name, among the overrides of all runs.
    """
    same = {text.partition("=")[0] for job in runs for text in job} - keys_apart(runs)
    names = ",".join(map(quoted, sorted(same)))
    with open_dict(base):
        base.hydra.overrides.hydra.append(f"hydra.job.config.override_dirname.exclude_keys=[{names}]")


def start(runs: Runs, impossible: Mapping[Job, str], launcher: Launcher) -> None:
    """Starts a sweep, unless a run of it is impossible; or says what it would do, for a dry run."""
    if not any(config.dry_run for config in runs.values()):
        refuse_impossible(runs, impossible)
        sweep(runs, launcher)
    elif runs:
        print_dry_run(Plan(runs), impossible)
    else:
        refuse_impossible(runs, impossible)


def sweep(runs: Runs, launcher: Launcher) -> None:
    """Starts the runs that are not finished, and reports on all of them together.

    Runs that another command trains are left to it. A run whose process died is started once more.

    Raises:
        SweepFailed: a run failed, or was left alone. The others are run all the same.
    """
    from sandbox.cli import display
    from sandbox.cli.summary import summarise_runs

    plan = Plan(runs)
    make_writable(plan.folder)
    display.start_sweep(len(plan.runs), len(plan.in_state(RunState.finished)), keys_apart(plan.runs))
    for note in plan.notes():
        display.console.print(note)
    if plan.retry_failed:
        for job in plan.in_state(RunState.fatal):
            forget_deaths(plan.runs[job].directory)
    left_alone = {job: f"{plan.places[job].reason}; {RETRY}" for job in plan.left_alone}
    failures = left_alone | _launch_all(plan, launcher)
    plan.keep_names()
    if finished := plan.finished_names():
        summarise_runs(plan.folder, finished, next(iter(plan.runs.values())).report)
    if failures:
        names = what_differs(plan.runs)
        lines = [f"{names[job]}: {reason}" for job, reason in failures.items()]
        raise SweepFailed("\n".join([f"{len(failures)} of {len(plan.runs)} runs failed:", *lines]))


def _launch_all(plan: Plan, launcher: Launcher) -> dict[Job, str]:
    """Starts what there is to start until nothing is left to wait for; the runs that failed, and why."""
    from sandbox.cli.display import console, sweep_progress

    failures: dict[Job, str] = {}
    waiting = plan.waiting
    while waiting:
        outcomes = _launch(plan, launcher, waiting)
        again = []
        for job in waiting:
            match outcomes.get(job):
                case RunBusy():
                    again.append(job)
                case RunDied():
                    state, reason = state_of(plan.runs[job].directory)
                    if state is RunState.to_do:
                        again.append(job)
                    elif state is not RunState.finished:
                        failures[job] = f"{reason}; {RETRY}"
                case Exception() as error:
                    failures[job] = (
                        str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
                    )
        if failures and next(iter(plan.runs.values())).stop_on_failure:
            console.print(f"stopped at the first failure; {len(waiting) - len(outcomes)} runs did not end")
            break
        sweep_progress.started -= len(again)
        waiting = _without_those_of_others(plan, again)
    return failures


def _launch(plan: Plan, launcher: Launcher, waiting: Sequence[Job]) -> dict[Job, Exception | None]:
    """Starts these runs; what each of those that ended raised, or None."""
    outcomes: dict[Job, Exception | None] = {}
    noted = {job for job in waiting if has_note(plan.runs[job].directory)}
    try:
        with contextlib.nullcontext() if _trains_here(launcher) else stopping_at_once():
            returned = launcher.launch([list(job) for job in waiting], initial_job_idx=0)
    except InputError:
        raise
    except Stopped:
        for job in waiting:
            directory = plan.runs[job].directory
            if job not in noted and not is_locked(directory):
                forget_training_of(directory)  # the launcher ended its process: no fault of the run
        raise
    except Exception as error:  # a launcher that lost one run, such as one that Slurm cancelled, tells of no other
        for job in waiting:
            state, reason = state_of(plan.runs[job].directory)
            if state is not RunState.finished:
                outcomes[job] = RunFailed(
                    reason or f"not finished ({type(error).__name__}: {first_line(str(error))})"
                )
        return outcomes
    for job_return in returned:
        job = tuple(job_return.overrides or ())
        failed = job_return.status is JobStatus.FAILED
        outcomes[job] = job_return._return_value if failed else None  # `return_value` prints before it raises
    return outcomes


def _trains_here(launcher: Launcher) -> bool:
    """Whether runs train in this process or in its workers, which look whether to stop: Hydra's launcher and ours.

    Hydra loads the modules of its plugins again, so that a class may not be the one that was imported.
    """
    return BasicLauncher.__name__ in [base.__name__ for base in type(launcher).__mro__]


def _without_those_of_others(plan: Plan, waiting: Sequence[Job]) -> list[Job]:
    """Waits until other commands leave a run to start; those of these runs that are still to do and free then."""
    from sandbox.cli.display import console

    told = False
    while left := [job for job in waiting if state_of(plan.runs[job].directory)[0] not in SETTLED]:
        if free := [job for job in left if not is_locked(plan.runs[job].directory)]:
            return free
        if not told:
            console.print(f"waiting for other commands, which train {len(left)} of these runs")
            told = True
        check_stop()
        time.sleep(POLL_SECONDS)
    return []
