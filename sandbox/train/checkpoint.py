"""Checkpoints of a whole population, so that a run that was killed goes on where it was, bit for bit."""

import pathlib
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from sandbox.train.step import Member


class Progress(NamedTuple):
    """How far a run is: what training needs to go on, and what it has reported so far."""

    step: int
    population: Member
    history: list[dict[str, Any]]
    """The rows of `metrics.csv`."""
    seconds: float
    """Wall time spent, earlier processes included."""


class Checkpoints:
    """The newest `Progress` of one run, in a directory; saved whole or not at all."""

    def __init__(self, directory: pathlib.Path):
        # Not in the background: a save that fails there leaves threads that hold up the end of the process.
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    def save(self, progress: Progress) -> None:
        """Saves unless this step is saved already; older checkpoints are removed."""
        if progress.step == self._manager.latest_step():
            return
        self._manager.save(
            progress.step,
            args=ocp.args.Composite(
                population=ocp.args.StandardSave(progress.population._asdict()),
                report=ocp.args.JsonSave({"history": progress.history, "seconds": progress.seconds}),
            ),
        )

    def restore(self, like: Member) -> Progress | None:
        """The newest complete checkpoint of a population shaped `like` this one, or None."""
        step = self._manager.latest_step()
        if step is None:
            return None
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like._asdict())
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(population=ocp.args.StandardRestore(shapes), report=ocp.args.JsonRestore()),
        )
        return Progress(step=step, population=Member(**restored.population), **restored.report)
