"""The order of things: train a chunk, evaluate, freeze what is done, checkpoint, log, stop."""

import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd

from sandbox.results import METRICS, write_atomically
from sandbox.tasks.streams import Split
from sandbox.train.checkpoint import Checkpoints, Progress
from sandbox.train.population import evaluate, init_population, members_of, train_chunk
from sandbox.train.scores import solved, summarise
from sandbox.train.step import Member, Problem

Listener = Callable[[int, list[dict[str, Any]]], None]
"""Told the step and the rows of `metrics.csv` so far, after each evaluation."""


class Fitted(NamedTuple):
    """A trained population."""

    population: Member
    seconds: float
    """Wall time, compilation and earlier processes included."""


def fit(
    problem: Problem, seed: int, directory: pathlib.Path, *, checkpoint_seconds: float, listen: Listener
) -> Fitted:
    """Trains until every member has solved the task, diverged, or taken all its steps; resumes if there is a checkpoint."""
    train, (rates, seeds) = problem.train, members_of(problem.train, seed)
    population = init_population(problem, rates.astype(np.float32), seeds.astype(np.int32))
    with Checkpoints(directory / "checkpoints") as checkpoints:
        progress = checkpoints.restore(population) or Progress(0, population, [], 0.0)
        step, population, history, seconds_before = progress
        started = saved = time.monotonic()
        listen(step, history)
        while step < train.steps and bool(jnp.any(population.active)):
            stop = min(step + train.eval_every, train.steps)
            population, train_loss = train_chunk(problem, population, step, stop)
            scores = evaluate(problem, population.params, Split.VALIDATION, train.validation_examples)
            population = population._replace(active=population.active & ~solved(problem, scores))
            step = stop
            history = history + summarise(step, rates, seeds, train_loss, scores)
            now = time.monotonic()
            if now - saved >= checkpoint_seconds:
                saved = now
                checkpoints.save(Progress(step, population, history, seconds_before + now - started))
            write_atomically(directory / METRICS, pd.DataFrame(history).to_csv(index=False))
            listen(step, history)
        seconds = seconds_before + time.monotonic() - started
        checkpoints.save(Progress(step, population, history, seconds))
    return Fitted(population, seconds)
