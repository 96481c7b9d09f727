"""`hydra/launcher=processes`: the runs of a sweep side by side. What it does is in `sandbox.cli.side_by_side`.

Hydra imports this module whenever any Hydra application starts in the environment, so it imports nothing heavy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ProcessLauncher(BasicLauncher):
    """Starts runs in worker processes; or here, one after the other, where a run has all cores."""

    def __init__(self, jobs: Any = "auto"):
        super().__init__()
        self.jobs = jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `launch`."""
        from sandbox.errors import InputError
        from sandbox.option_checks import check_jobs

        try:
            check_jobs(self.jobs)
        except ValueError as error:
            raise InputError(str(error)) from error
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by the sweeper with the overrides of every run."""
        from sandbox.cli.side_by_side import announce_share, launch

        share = announce_share(self.jobs, len(job_overrides))
        assert self.hydra_context is not None
        assert self.config is not None
        if share.in_this_process:
            returns: list[JobReturn] = []
            for number, overrides in enumerate(job_overrides, initial_job_idx):
                returns += super().launch([overrides], number)
                if self.config.stop_on_failure and returns[-1].status is JobStatus.FAILED:
                    break
            return returns
        return launch(job_overrides, share, self.config, self.hydra_context.config_loader)


@dataclass
class ProcessLauncherConfig:
    """The keys under `hydra.launcher`."""

    _target_: str = f"{ProcessLauncher.__module__}.{ProcessLauncher.__qualname__}"
    jobs: Any = "${jobs}"
    """The key `jobs` of the config."""


ConfigStore.instance().store(
    group="hydra/launcher", name="processes", node=ProcessLauncherConfig, provider="sandbox"
)
