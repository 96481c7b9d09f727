"""A sweep: its runs composed and checked before the first one starts, then launched and reported on together."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from sandbox.cli.compose import check, conf_dir, register_schema
from sandbox.cli.definitions import imported
from sandbox.cli.grids import Grid, Job, jobs, keys_apart, narrow, read_grid
from sandbox.errors import InputError
from sandbox.results import is_finished, is_to_do, make_writable

if TYPE_CHECKING:
    from sandbox.config import Config


class RunFailed(RuntimeError):
    """A run failed in another process; the message says why."""


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; the message names them."""


def compose_runs(
    base: DictConfig,
    config_loader: ConfigLoader,
    arguments: Sequence[str],
    *,
    grids: Sequence[Mapping[str, Any]] | None = None,
    params: Mapping[str, str] | None = None,
) -> "dict[Job, Config]":
    """The checked config of every run, without jax, by its overrides; of two equal runs, the first.

    Args:
        base: the config that Hydra composed for the sweep, which the runs change.
        config_loader: Hydra's, which made it.
        arguments: overrides of the command line.
        grids: see `sandbox.cli.grids`. None: the overrides alone.
        params: further overrides, as in Hydra's basic sweeper.

    Raises:
        InputError: a run has a wrong key or value.
    """
    further = [f"{key}={values}" for key, values in (params or {}).items()]
    asked = _parse([*further, *arguments], config_loader)
    narrowed = narrow(map(read_grid, grids or [{}]), asked, lambda key: bool(config_loader.get_group_options(key)))
    runs: dict[Job, Config] = {}
    seen = set()
    for job in jobs(narrowed):
        config = compose_run(base, config_loader, job)
        if config.run_id not in seen:
            seen.add(config.run_id)
            runs[job] = config
    return runs


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
        runs = compose_runs(base, hydra.config_loader, arguments, grids=options["grids"], params=options["params"])
    return {job: imported(config) for job, config in runs.items()}


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


def sweep(runs: "Mapping[Job, Config]", launcher: Launcher) -> None:
    """Starts the runs that are not finished, and reports on all of them together.

    Raises:
        SweepFailed: a run failed. The others are run all the same.
    """
    from sandbox.cli import display
    from sandbox.cli.summary import summarise_runs

    folder = next(iter(runs.values())).directory.parent
    make_writable(folder)
    waiting = [list(job) for job, config in runs.items() if is_to_do(config.directory)]
    display.start_sweep(len(runs), len(runs) - len(waiting), keys_apart(runs))
    failures = []
    if waiting:
        for job in launcher.launch(waiting, initial_job_idx=0):
            try:
                job.return_value  # noqa: B018  (raises what the job raised)
            except Exception as error:
                reason = str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
                failures.append(f"{' '.join(job.overrides or [])}: {reason}")
    if finished := [config.run_id for config in runs.values() if is_finished(config.directory)]:
        summarise_runs(folder, finished)
    if failures:
        raise SweepFailed("\n".join([f"{len(failures)} of {len(runs)} runs failed:", *failures]))
