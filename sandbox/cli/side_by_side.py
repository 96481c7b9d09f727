"""The runs of a sweep, side by side in worker processes: Hydra's side of `sandbox.cli.workers`."""

import contextlib
from collections.abc import Iterator, Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from sandbox.cli.board import Board
from sandbox.cli.compose_runs import Composer
from sandbox.cli.definitions import imported
from sandbox.cli.display import console, sweep_progress
from sandbox.cli.shares import Share, share_out
from sandbox.cli.sweep import RunDied, RunFailed
from sandbox.cli.workers import End, Ended, train_side_by_side
from sandbox.config import Config
from sandbox.run_folder import RunBusy

ERRORS: dict[End, type[Exception]] = {End.failed: RunFailed, End.died: RunDied, End.busy: RunBusy}
"""What the return of a run that ended so raises."""


def announce_share(jobs: int | str, waiting: int) -> Share:
    """The share of each run of this process's sweep, printed."""
    share = share_out(jobs, sweep_progress.total, waiting)
    if waiting > 1:
        console.print(str(share))
    return share


def launch(
    job_overrides: Sequence[Sequence[str]], share: Share, base: DictConfig, config_loader: ConfigLoader
) -> list[JobReturn]:
    """Trains the runs with these overrides of `base`; each return says whether it failed.

    If `base` has `stop_on_failure`, the first failure stops the runs beside it, and the others do not start.
    """

    compose = Composer(base, config_loader)

    def configs() -> Iterator[Config]:
        for overrides in job_overrides:
            yield imported(compose(overrides))

    returns = {}
    events = train_side_by_side(configs(), share)
    with Board(share.jobs, job_overrides) as board, contextlib.closing(events):
        for event in events:
            board.show(event)
            if isinstance(event, Ended):
                error = ERRORS[event.how](event.reason) if event.how in ERRORS else None
                returns[event.index] = JobReturn(
                    overrides=job_overrides[event.index],
                    status=JobStatus.FAILED if error else JobStatus.COMPLETED,
                    _return_value=error,
                )
                if event.how is End.failed and base.stop_on_failure:
                    break
    return [returns[index] for index in sorted(returns)]
