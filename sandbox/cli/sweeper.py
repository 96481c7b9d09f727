"""Hydra's sweep, with what Hydra leaves to its users: unions of grids, checks before the start, resume.

An experiment is rarely one Cartesian product: softmax attention has no `d_state`, so it stands beside the grid
of the others. `hydra.sweeper.grids` is a list of grids, each a table from key to a value or a list of values to
sweep:

    hydra:
      sweeper:
        grids:
          - {label: softmax attention, mixer: softmax}
          - {label: delta rule, mixer: outer, mixer.update: delta, mixer.d_state: [8, 16, 32]}

Overrides on the command line narrow it. `mixer=outer` keeps the grids with that mixer; `mixer.d_state=8`
replaces the values in the grids that sweep this key, and leaves the others alone; a key that no grid has holds
for all runs.
"""

import importlib.util
import itertools
import json
import sys
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from sandbox.cli import display
from sandbox.cli.compose import from_hydra
from sandbox.cli.summary import summarise
from sandbox.config import Config
from sandbox.errors import InputError
from sandbox.results import is_finished, is_to_do
from sandbox.run import make_writable, run_directory

Grid = Mapping[str, Sequence[str]]
"""From key to the values it takes, each as Hydra would read it on the command line."""

PLUGIN_MODULE = "hydra_plugins.sandbox"


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; the message names them."""


class GridSweeper(Sweeper):
    """Runs a union of grids through any Hydra launcher; finished runs are not started again."""

    def __init__(self, grids: list[dict[str, Any]] | None = None, params: dict[str, str] | None = None):
        self.grids = grids or [{}]
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.base = config
        self.config_loader = hydra_context.config_loader
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Checks every run, starts those that are not finished, and reports on all of them together.

        Raises InputError before any run starts where one has a wrong key or value, SweepFailed after the last
        where one failed.
        """
        runs = self.configs(arguments)
        folder = run_directory(next(iter(runs.values()))).parent
        make_writable(folder)
        waiting = [list(job) for job, config in runs.items() if is_to_do(run_directory(config))]
        display.start_sweep(len(runs), len(runs) - len(waiting), keys_apart(runs))
        failures = []
        if waiting:
            for job in self.launcher.launch(waiting, initial_job_idx=0):
                try:
                    job.return_value  # noqa: B018  (raises what the job raised)
                except Exception as error:
                    failures.append(f"{' '.join(job.overrides or [])}: {type(error).__name__}: {error}")
        if finished := [config.run_id for config in runs.values() if is_finished(run_directory(config))]:
            summarise(folder, finished)
        if failures:
            raise SweepFailed("\n".join([f"{len(failures)} of {len(runs)} runs failed:", *failures]))

    def configs(self, arguments: list[str]) -> dict[tuple[str, ...], Config]:
        """The checked config of every run, by its overrides; InputError for a wrong key or value."""
        asked = self._parse([f"{key}={values}" for key, values in self.params.items()] + arguments)
        return self._runs(narrow(map(read_grid, self.grids), asked, self._is_group))

    def _parse(self, arguments: list[str]) -> dict[str, list[str]]:
        parser = OverridesParser.create(config_loader=self.config_loader)
        values = {}
        for override in parser.parse_overrides(arguments):
            if not override.is_sweep_override():
                texts = [override.get_value_element_as_str()]
            elif override.is_discrete_sweep():
                texts = list(override.sweep_string_iterator())
            else:
                raise InputError(f"{override.input_line}: only lists of values can be swept, such as key=1,2,3")
            values[override.get_key_element()] = texts
        return values

    def _is_group(self, key: str) -> bool:
        return bool(self.config_loader.get_group_options(key))

    def _runs(self, grids: Iterable[Grid]) -> dict[tuple[str, ...], Config]:
        """Of two that would be the same run, the first."""
        runs: dict[tuple[str, ...], Config] = {}
        seen = set()
        for grid in grids:
            for values in itertools.product(*grid.values()):
                job = tuple(f"{key}={value}" for key, value in zip(grid, values, strict=True))
                composed = self.config_loader.load_sweep_config(self.base, list(job))
                with open_dict(composed):
                    del composed["hydra"]
                config = from_hydra(composed)
                if config.run_id not in seen:
                    seen.add(config.run_id)
                    runs[job] = config
        return runs


def keys_apart(jobs: Collection[tuple[str, ...]]) -> set[str]:
    """The dotted keys, such as `mixer.d_state`, that some of these runs set to different values."""
    values: dict[str, set[str]] = {}
    for job in jobs:
        for key, _, value in (text.partition("=") for text in job):
            values.setdefault(key, set()).add(value)
    return {key for key, different in values.items() if "." in key and len(different) > 1}


def read_grid(grid: Mapping[str, Any]) -> dict[str, list[str]]:
    """A grid from YAML: a list is swept, anything else is one value."""
    return {
        key: [as_override(value) for value in (values if isinstance(values, list) else [values])]
        for key, values in grid.items()
    }


def as_override(value: Any) -> str:
    """A YAML value as Hydra reads it on the command line."""
    if isinstance(value, list):
        return "[" + ",".join(map(as_override, value)) + "]"
    if isinstance(value, str) and value.isidentifier():
        return value
    return json.dumps(value)


def narrow(grids: Iterable[Grid], asked: Grid, is_group: Any) -> list[Grid]:
    """The grids with what the command line asked for; see the module's docstring.

    Raises InputError where no grid has a choice that was asked for.
    """
    grids = list(grids)
    swept = {key for grid in grids for key in grid}
    for key, values in asked.items():
        if key not in swept:
            grids = [{key: values, **grid} for grid in grids]
        elif is_group(key):
            choices = sorted({choice for grid in grids for choice in grid.get(key, [])})
            grids = [
                {**grid, key: kept}
                for grid in grids
                if (kept := [choice for choice in grid.get(key, []) if choice in values])
            ]
            if not grids:
                raise InputError(
                    f"{key}={','.join(values)}: the grids of this experiment have {', '.join(choices)}"
                )
        else:
            grids = [{**grid, key: values} if key in grid else grid for grid in grids]
    return grids


def register_sweeper() -> None:
    """Makes `hydra/sweeper=grid` known.

    Hydra takes plugins from a top-level package `hydra_plugins` alone; an alias of that name spares this
    project one.
    """
    # The package exists where any other plugin is installed.
    if "hydra_plugins" not in sys.modules and importlib.util.find_spec("hydra_plugins") is None:
        package = types.ModuleType("hydra_plugins")
        package.__path__ = []
        sys.modules["hydra_plugins"] = package
    module = types.ModuleType(PLUGIN_MODULE)
    module.GridSweeper = GridSweeper  # type: ignore[attr-defined]
    sys.modules[PLUGIN_MODULE] = module
    GridSweeper.__module__ = PLUGIN_MODULE
    Plugins.instance().register(GridSweeper)
    node = {
        "_target_": f"{PLUGIN_MODULE}.{GridSweeper.__name__}",
        "_convert_": "all",
        "grids": None,
        "params": None,
    }
    ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=node, provider="sandbox")
