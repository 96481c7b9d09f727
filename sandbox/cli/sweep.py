"""A sweep: its runs composed and checked before the first one starts, then launched and reported on together."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from sandbox.cli.compose import check, conf_dir, register_schema
from sandbox.cli.definitions import imported
from sandbox.cli.grids import Grid, Job, jobs, keys_apart, narrow, read_grid, what_differs
from sandbox.cli.input_errors import as_one_line, first_line
from sandbox.cli.plan import Plan, Runs, print_dry_run
from sandbox.errors import InputError
from sandbox.files import make_writable
from sandbox.run_folder import RunBusy, RunState, forget_deaths, is_locked, state_of

if TYPE_CHECKING:
    from sandbox.config import Config


class RunFailed(RuntimeError):
    """A run failed in another process; the message says why."""


class RunDied(RunFailed):
    """The process of a run died; the message says how."""


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; the message names them."""


POLL_SECONDS = 1.0
"""Time between two looks at runs that other commands train."""


def compose_runs(
    base: DictConfig,
    config_loader: ConfigLoader,
    arguments: Sequence[str],
    *,
    grids: Sequence[Mapping[str, Any]] | None = None,
    params: Mapping[str, str] | None = None,
) -> "tuple[dict[Job, Config], dict[Job, str]]":
    """The checked config of every possible run, without jax, by its overrides; and what is wrong with the others.

    Args:
        base: the config that Hydra composed for the sweep, which the runs change.
        config_loader: Hydra's, which made it.
        arguments: overrides of the command line.
        grids: see `sandbox.cli.grids`. None: the overrides alone.
        params: further overrides, as in Hydra's basic sweeper.

    Raises:
        InputError: no grid has a choice that was asked for, or values that cannot be swept.
    """
    further = [f"{key}={values}" for key, values in (params or {}).items()]
    asked = _parse([*further, *arguments], config_loader)
    narrowed = narrow(map(read_grid, grids or [{}]), asked, lambda key: bool(config_loader.get_group_options(key)))
    runs: dict[Job, Config] = {}
    impossible: dict[Job, str] = {}
    for job in jobs(narrowed):
        try:
            runs[job] = compose_run(base, config_loader, job)
        except Exception as error:
            if (line := as_one_line(error)) is None:
                raise
            impossible[job] = line
    return runs, impossible


def refuse_impossible(runs: Runs, impossible: Mapping[Job, str]) -> None:
    """Raises InputError, with the first reason and the number of runs concerned, if any run is impossible."""
    if impossible:
        total = len(runs) + len(impossible)
        some = f" ({len(impossible)} of {total} runs are impossible; --dry-run names each)" if runs else ""
        raise InputError(next(iter(impossible.values())) + some)


def compose_run(base: DictConfig, config_loader: ConfigLoader, job: Sequence[str]) -> "Config":
    """The config of the run with these overrides of `base`; as `check`, without jax."""
    composed = config_loader.load_sweep_config(base, list(job))
    with open_dict(composed):
        del composed["hydra"]
    return check(composed)


def runs_of(overrides: Sequence[str], *, command: str) -> "dict[Job, Config]":
    """The runs that `sandbox -m` would start with these overrides, for another command.

    Raises what Hydra raises for overrides that it cannot read, and InputError for a wrong key or value.
    """
    register_schema()
    with initialize_config_dir(conf_dir(), version_base="1.3", job_name=command):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        base = hydra.compose_config(
            "config", list(overrides), RunMode.MULTIRUN, with_log_configuration=False, from_shell=False
        )
        options = OmegaConf.to_container(base.hydra.sweeper)
        assert isinstance(options, dict)
        arguments = list(base.hydra.overrides.task)
        runs, impossible = compose_runs(
            base, hydra.config_loader, arguments, grids=options["grids"], params=options["params"]
        )
        refuse_impossible(runs, impossible)
    return {job: imported(config) for job, config in Plan(runs).runs.items()}


def _parse(arguments: Sequence[str], config_loader: ConfigLoader) -> Grid:
    parser = OverridesParser.create(config_loader=config_loader)
    values = {}
    for override in parser.parse_overrides(list(arguments)):
        if not override.is_sweep_override():
            texts = [override.get_value_element_as_str()]
        elif override.is_discrete_sweep():
            texts = list(override.sweep_string_iterator())
        else:
            raise InputError(f"{override.input_line}: only lists of values can be swept, such as key=1,2,3")
        values[override.get_key_element()] = texts
    return values


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
    failures = _launch_all(plan, launcher) | {job: plan.places[job].reason for job in plan.left_alone}
    plan.keep_names()
    if finished := plan.finished_names():
        summarise_runs(plan.folder, finished)
    if failures:
        names = what_differs(plan.runs)
        lines = [f"{names[job]}: {reason}" for job, reason in failures.items()]
        raise SweepFailed("\n".join([f"{len(failures)} of {len(plan.runs)} runs failed:", *lines]))


def _launch_all(plan: Plan, launcher: Launcher) -> dict[Job, str]:
    """Starts what there is to start until nothing is left to wait for; the runs that failed, and why."""
    failures: dict[Job, str] = {}
    waiting = plan.waiting
    while waiting:
        outcomes = _launch(plan, launcher, waiting)
        again = []
        for job in waiting:
            match outcomes.get(job):
                case RunBusy():
                    again.append(job)
                case RunDied() if state_of(plan.runs[job].directory)[0] is RunState.to_do:
                    again.append(job)
                case Exception() as error:
                    failures[job] = (
                        str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
                    )
        if failures and next(iter(plan.runs.values())).stop_on_failure:
            break
        waiting = _without_those_of_others(plan, again)
    return failures


def _launch(plan: Plan, launcher: Launcher, waiting: Sequence[Job]) -> dict[Job, Exception | None]:
    """Starts these runs; what each of those that ended raised, or None."""
    outcomes: dict[Job, Exception | None] = {}
    try:
        returned = launcher.launch([list(job) for job in waiting], initial_job_idx=0)
    except InputError:
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


def _without_those_of_others(plan: Plan, waiting: Sequence[Job]) -> list[Job]:
    """Waits until other commands leave a run to start; those of these runs that are still to do and free then."""
    from sandbox.cli.display import console

    told = False
    while left := [job for job in waiting if state_of(plan.runs[job].directory)[0] is not RunState.finished]:
        if free := [job for job in left if not is_locked(plan.runs[job].directory)]:
            return free
        if not told:
            console.print(f"waiting for other commands, which train {len(left)} of these runs")
            told = True
        time.sleep(POLL_SECONDS)
    return []
