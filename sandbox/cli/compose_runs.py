"""The runs of a sweep, composed and checked before the first one starts."""

import copy
import enum
import functools
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from sandbox.cli.compose import check, conf_dir, register_schema
from sandbox.cli.definitions import imported
from sandbox.cli.grids import Grid, Job, at_scale, jobs, narrow, read_grids
from sandbox.cli.input_errors import as_one_line
from sandbox.cli.plan import Plan, Runs
from sandbox.cli.report_axes import check_report
from sandbox.errors import InputError

if TYPE_CHECKING:
    from sandbox.config import Config


class Composer:
    """Composes the runs of one sweep: as Hydra does, and many times faster.

    Hydra composes files for every run. Here it does so once for each set of choices, such as `mixer=gla`; values,
    which are most of what a sweep varies, are then set on a copy by the function with which Hydra sets them.
    """

    def __init__(self, base: DictConfig, config_loader: ConfigLoader):
        """`base` is the config that Hydra composed for the sweep, by its `config_loader`."""
        self.base, self.config_loader = base, config_loader
        self.parser = OverridesParser.create(config_loader=config_loader)
        # One by one, `parse_override` would not know the choices that a glob is about.
        self.parsed = functools.cache(lambda text: self.parser.parse_overrides([text])[0])
        self.is_group = functools.cache(lambda key: bool(config_loader.get_group_options(key)))
        self.composed = functools.cache(self._composed)

    def __call__(self, job: Sequence[str]) -> "Config":
        """The config of the run with these overrides; as `check`, without jax."""
        choices = [text for text in job if self._is_choice(text)]
        values = [text for text in job if text not in choices]
        composed = copy.deepcopy(self.composed(tuple(choices)))
        ConfigLoaderImpl._apply_overrides_to_config([self.parsed(text) for text in values], composed)
        return check(composed)

    def _is_choice(self, text: str) -> bool:
        override = self.parsed(text)
        return override.package is not None or self.is_group(override.key_or_group)

    def _composed(self, choices: tuple[str, ...]) -> DictConfig:
        composed = self.config_loader.load_sweep_config(self.base, list(choices))
        with open_dict(composed):
            del composed["hydra"]
        return composed


def compose_runs(
    base: DictConfig,
    config_loader: ConfigLoader,
    arguments: Sequence[str],
    *,
    grids: Any = None,
    scales: Any = None,
    params: Any = None,
) -> "tuple[dict[Job, Config], dict[Job, str]]":
    """The checked config of every possible run, without jax, by its overrides; and what is wrong with the others.

    Args:
        base: the config that Hydra composed for the sweep, which the runs change.
        config_loader: Hydra's, which made it.
        arguments: overrides of the command line.
        grids: see `sandbox.cli.grids`. None: the overrides alone.
        scales: the same, for each scale. None: there is one.
        params: further overrides, as in Hydra's basic sweeper.

    Raises:
        InputError: no grid has a choice that was asked for, values that cannot be swept, or grids or params that
            are not what they should be: they come from YAML.
    """
    if not isinstance(params or {}, Mapping):
        raise InputError(f"hydra.sweeper.params={params} must be a table from key to values separated by commas")
    further = [f"{key}={values}" for key, values in (params or {}).items()]
    compose = Composer(base, config_loader)
    asked = _values([compose.parsed(text) for text in (*further, *arguments)], config_loader)
    scaled = at_scale(read_grids(grids or [{}]), scales, base.scale.name)
    narrowed = narrow(scaled, asked, compose.is_group)
    runs: dict[Job, Config] = {}
    impossible: dict[Job, str] = {}
    for job in jobs(narrowed):
        try:
            runs[job] = compose(job)
        except Exception as error:
            if (line := as_one_line(error)) is None:
                raise
            impossible[job] = line
    if not runs and not impossible:
        raise InputError("this sweep has no runs: a list of values is empty")
    check_same(runs, base)
    check_report(runs.values())
    return runs, impossible


def check_same(runs: Runs, base: DictConfig) -> None:
    """Raises InputError if runs differ in what belongs to the sweep: neither their results nor their names."""
    of_sweep = ("study", "output_dir", "jobs", "scale", "dry_run", "versions", "retry_failed", "stop_on_failure")
    for key in (*of_sweep, "report.x", "report.y", "report.columns"):
        value_of = operator.attrgetter(key)
        values = list(dict.fromkeys(map(value_of, runs.values())))
        texts = ", ".join(str(value.name if isinstance(value, enum.Enum) else value) for value in values)
        if len(values) > 1:
            raise InputError(f"{key}={texts}: cannot be swept; all runs of a sweep have one value")
        if key != "study" and values and values[0] != value_of(base):
            raise InputError(f"{key}={texts}: not in a grid; give what is of the whole sweep on the command line")


def refuse_impossible(runs: Runs, impossible: Mapping[Job, str]) -> None:
    """Raises InputError, with the first reason and the number of runs concerned, if any run is impossible."""
    if impossible:
        total = len(runs) + len(impossible)
        some = f" ({len(impossible)} of {total} runs are impossible; --dry-run names each)" if runs else ""
        raise InputError(next(iter(impossible.values())) + some)


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
            base, hydra.config_loader, arguments, **{name: options[name] for name in ("grids", "scales", "params")}
        )
        refuse_impossible(runs, impossible)
    return {job: imported(config) for job, config in Plan(runs).runs.items()}


def _values(overrides: Sequence[Override], config_loader: ConfigLoader) -> Grid:
    values: Grid = {}
    for override in overrides:
        if not override.is_sweep_override():
            texts = [override.get_value_element_as_str()]
        elif override.is_discrete_sweep():
            texts = list(override.sweep_string_iterator())
        else:
            raise InputError(f"{override.input_line}: only lists of values can be swept, such as key=1,2,3")
        if not texts:
            choices = config_loader.get_group_options(override.key_or_group)
            there_are = f"; there are {', '.join(choices)}" if choices else ""
            raise InputError(f"{override.input_line}: no choice is called so{there_are}")
        values[override.get_key_element()] = texts
    return values
