"""`hydra/launcher=submitit_slurm`: the runs of a sweep as jobs of Slurm. What it does is in `sandbox.cli.slurm`.

Hydra imports this module whenever any Hydra application starts in the environment, so it imports nothing heavy and
nothing of the extra `slurm`. The options are in `conf/hydra/launcher/submitit_slurm.yaml`.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SlurmLauncher(Launcher):
    """Submits the runs of a sweep as one array job, and waits for all of them."""

    def __init__(self, **options: Any):
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `launch`."""
        from sandbox.cli.slurm import ArrayLauncher

        self.launcher = ArrayLauncher(**self.options)
        self.launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by the sweeper with the overrides of every run."""
        return self.launcher.launch(job_overrides, initial_job_idx)
