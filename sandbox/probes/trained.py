"""The trained model of a finished run, from its newest checkpoint."""

import os
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sandbox.config import Config
from sandbox.errors import InputError
from sandbox.models.lm import LanguageModel
from sandbox.run_folder import RunState, read_summary, state_of
from sandbox.saved_config import read_config
from sandbox.tasks import TaskConfig
from sandbox.train.checkpoint import Checkpoints
from sandbox.train.loop import checkpoint_folder
from sandbox.train.population import init_population, members_of
from sandbox.train.step import Problem


class TrainedModel(NamedTuple):
    """One member of a run."""

    model: LanguageModel
    config: Config
    learning_rate: float
    seed: int

    @property
    def task(self) -> TaskConfig:
        """The task that it was trained on."""
        return self.config.task


def load_trained(
    run_dir: str | os.PathLike[str], *, learning_rate: float | None = None, seed: int | None = None
) -> TrainedModel:
    """A member of a finished run: by default the first seed at the learning rate that validation chose.

    Raises InputError if the run is not finished, has no such member, or its checkpoint cannot be read.
    """
    directory = pathlib.Path(os.path.abspath(run_dir))
    config = read_config(directory)
    state, reason = state_of(directory)
    if state is not RunState.finished:
        raise InputError(f"{directory}: the run is not finished" + (f" ({reason})" if reason else ""))
    records = read_summary(directory)
    tried = list(dict.fromkeys(record.learning_rate for record in records))
    chosen = next(record.learning_rate for record in records if record.selected)
    rate = _known("learning_rate", chosen if learning_rate is None else learning_rate, tried)
    seeds = list(dict.fromkeys(record.seed for record in records))
    seed = _known("seed", seeds[0] if seed is None else seed, seeds)
    first = config.train.first_rates
    rates = first if rate in first else [rate]
    problem = Problem(config.model, config.mixer, config.task, config.train)
    population = init_population(problem, config.seed, rates)
    folder = checkpoint_folder(directory, rates, first)
    if not folder.is_dir():
        raise InputError(f"{directory}: has no checkpoint")
    with Checkpoints(folder) as checkpoints:
        try:
            progress = checkpoints.read(population)
        except (OSError, ValueError) as error:
            raise InputError(f"{directory}: its checkpoint cannot be read ({error})") from error
    if progress is None:
        raise InputError(f"{directory}: has no checkpoint")
    member = list(zip(*members_of(rates, config.train.num_seeds, config.seed), strict=True)).index((rate, seed))
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf[member]), progress.population.params)
    return TrainedModel(problem.model_with(params), config, rate, seed)


def _known(name: str, value: Any, there: list[Any]) -> Any:
    if value not in there:
        raise InputError(f"{name}={value}: this run has {', '.join(map(str, there))}")
    return value
