"""Checkpoints of a whole population, from which a killed run resumes with bit-identical results."""

import functools
import pathlib
from typing import Any, NamedTuple

import jax

from sandbox.train.step import Member


class Progress(NamedTuple):
    """How far a run has come: what it needs to resume, and what it has reported."""

    step: int
    population: Member
    history: list[dict[str, Any]]
    """The rows of `metrics.csv`."""
    seconds: float
    """Wall time spent so far, in earlier processes too."""


class Checkpoints:
    """The newest `Progress` of one run, saved atomically in a directory. Imports Orbax once it is needed."""

    def __init__(self, directory: pathlib.Path):
        self._directory = directory.absolute()

    @functools.cached_property
    def _manager(self) -> Any:
        import orbax.checkpoint as ocp

        # Not in the background, where a failed save leaves threads that keep the process from ending.
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        return ocp.CheckpointManager(self._directory, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        if "_manager" in vars(self):
            self._manager.close()

    def save(self, progress: Progress) -> None:
        """Saves, unless this step is saved already, and removes older checkpoints."""
        import orbax.checkpoint as ocp

        if progress.step == self._manager.latest_step():
            return
        population = jax.device_get(progress.population._asdict())  # for any number of devices
        self._manager.save(
            progress.step,
            args=ocp.args.Composite(
                population=ocp.args.StandardSave(population),
                report=ocp.args.JsonSave({"history": progress.history, "seconds": progress.seconds}),
            ),
        )

    def restore(self, like: Member) -> Progress | None:
        """The newest complete checkpoint of a population shaped `like` this one, or None."""
        step = self._manager.latest_step() if self._directory.exists() else None
        if step is None:
            return None
        import orbax.checkpoint as ocp

        population = ocp.args.StandardRestore(jax.device_get(like._asdict()))
        restored = self._manager.restore(
            step, args=ocp.args.Composite(population=population, report=ocp.args.JsonRestore())
        )
        return Progress(step=step, population=Member(**restored.population), **restored.report)
