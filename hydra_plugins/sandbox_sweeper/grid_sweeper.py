"""`hydra/sweeper=grid`: sweeps over a union of grids. What it does is in `sandbox.cli.sweep`.

Hydra imports this module whenever any Hydra application starts in the environment, so it imports nothing heavy.
"""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class GridSweeper(Sweeper):
    """Runs a union of grids through any Hydra launcher; runs that are finished are not started again."""

    def __init__(self, grids: Any = None, scales: Any = None, params: Any = None):
        self.grids = grids
        self.scales = scales
        self.params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        from sandbox.cli.launchers import prepared

        config = prepared(config, hydra_context.config_loader)
        # Hydra has resolved what it made this object of; `${task.length}` in a grid is that of each run.
        unresolved: Any = OmegaConf.to_container(config.hydra.sweeper)
        self.grids, self.scales = unresolved["grids"], unresolved["scales"]
        self.base = config
        self.config_loader = hydra_context.config_loader
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Called by Hydra with the overrides of the command line."""
        from sandbox.cli.compose_runs import compose_runs
        from sandbox.cli.sweep import start, tell_same_keys

        runs, impossible = compose_runs(
            self.base, self.config_loader, arguments, grids=self.grids, scales=self.scales, params=self.params
        )
        tell_same_keys(self.base, runs)
        start(runs, impossible, self.launcher)


@dataclass
class GridSweeperConfig:
    """The keys under `hydra.sweeper`."""

    _target_: str = f"{GridSweeper.__module__}.{GridSweeper.__qualname__}"
    _convert_: str = "all"
    grids: Any = None
    """A list of grids, each a table from key to a value or to a list of values to sweep. None: one empty grid."""
    scales: Any = None
    """A list of grids for each value of `scale`, with which all grids are combined. None: there is one scale."""
    params: Any = None
    """Further overrides, as in Hydra's basic sweeper: key -> values separated by commas."""


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridSweeperConfig, provider="sandbox")
