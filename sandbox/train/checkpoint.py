"""Checkpoints of a whole population, from which a killed run resumes with bit-identical results."""

import functools
import hashlib
import json
import pathlib
import shutil
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np

from sandbox.errors import DamagedFileWarning
from sandbox.files import check_room, out_of_space, write_atomically
from sandbox.train.step import Member

HASHES = "sha256.json"
"""The hashes of the files of a checkpoint, beside them: Orbax reads all arrays at once, and prints a traceback for
each that is left when one cannot be read."""


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
        self._run = self._directory.parent.name

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
        check_room(self._directory.parent, 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(population)))
        self._manager.save(
            progress.step,
            args=ocp.args.Composite(
                population=ocp.args.StandardSave(population),
                report=ocp.args.JsonSave(
                    {"history": progress.history, "seconds": progress.seconds, "run": self._run}
                ),
            ),
        )
        folder = self._directory / str(progress.step)
        write_atomically(folder / HASHES, json.dumps(_hashes(folder), indent=1) + "\n")

    def restore(self, like: Member) -> Progress | None:
        """The newest complete checkpoint of this run, of a population shaped `like` this one; None without one.

        A checkpoint that cannot be read, or that another run saved, is deleted, with a DamagedFileWarning.
        """
        if not self._directory.exists():
            return None
        try:
            return self.read(like)
        except Exception as error:
            if not self._directory.is_dir() or out_of_space(error):
                raise
            reason = str(error).strip().partition("\n")[0]
            warnings.warn(
                f"{self._directory}: not a checkpoint of this run ({reason[:200]}); it starts from its first step",
                DamagedFileWarning,
                stacklevel=2,
            )
        self.__exit__()
        vars(self).pop("_manager", None)
        shutil.rmtree(self._directory)
        return None

    def read(self, like: Member) -> Progress | None:
        """As `restore`, but nothing is deleted: whatever cannot be read raises its error."""
        if (step := self._manager.latest_step()) is None:
            return None
        _check_hashes(self._directory / str(step))
        import orbax.checkpoint as ocp

        population = ocp.args.StandardRestore(jax.device_get(like._asdict()))
        restored = self._manager.restore(
            step, args=ocp.args.Composite(population=population, report=ocp.args.JsonRestore())
        )
        report, population = dict(restored.report), Member(**restored.population)
        if (run := report.pop("run", self._run)) != self._run:  # the first checkpoints did not say
            raise ValueError(f"run {run} saved it")
        for expected, found in zip(jax.tree.leaves(like), jax.tree.leaves(population), strict=True):
            if np.shape(expected) != np.shape(found):
                raise ValueError(f"an array of shape {np.shape(found)} in place of {np.shape(expected)}")
        return Progress(step=step, population=population, **report)


def _hashes(folder: pathlib.Path) -> dict[str, str]:
    """The hash of every file in a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != HASHES)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _check_hashes(folder: pathlib.Path) -> None:
    """Raises ValueError if the files are not those that the run wrote."""
    if not (folder / HASHES).is_file():  # killed before it wrote them
        return
    found = _hashes(folder)
    for name, expected in json.loads((folder / HASHES).read_text()).items():
        if found.get(name) != expected:
            raise ValueError(f"{name}: {'changed' if name in found else 'missing'} since the run wrote it")
