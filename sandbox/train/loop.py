"""The training loop: train a segment of steps, evaluate, freeze finished members, checkpoint, log, stop."""

import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sandbox.results import write_evaluations
from sandbox.train.checkpoint import Checkpoints, Progress
from sandbox.train.evaluation import EvaluationSet, evaluation_rows
from sandbox.train.halving import halve
from sandbox.train.population import advance, init_population, members_of
from sandbox.train.step import Member, Problem

Listener = Callable[[int, list[dict[str, Any]]], None]
"""Called after each evaluation with the step and all table rows of `metrics.csv` so far."""


class Fitted(NamedTuple):
    """A trained population."""

    population: Member
    seconds: float
    """Wall time, including compilation and earlier processes."""


def fit(
    problem: Problem,
    seed: int,
    validation: EvaluationSet,
    directory: pathlib.Path,
    *,
    checkpoint_seconds: float,
    listen: Listener,
) -> Fitted:
    """Trains until every member has solved the task, diverged, been halved, or taken all its steps.

    Resumes from the newest checkpoint in the directory, if there is one.
    """
    train, (rates, seeds) = problem.train, members_of(problem.train, seed)
    population = init_population(problem, seed)
    with Checkpoints(directory / "checkpoints") as checkpoints:
        progress = checkpoints.restore(population) or Progress(0, population, [], 0.0)
        step, population, history, seconds_before = progress
        started = saved = time.monotonic()
        listen(step, history)
        while step < train.steps and np.any(population.active):
            stop = min(step + train.eval_every, train.steps)
            population, train_loss = advance(problem, population, step, stop)
            scores = validation.score(problem, population.params)
            solved = validation.solved(scores, train.solved_at)
            population = population._replace(active=population.active & ~solved)
            if train.halves_between(step, stop):
                population = halve(population, rates, scores)
            step, history = stop, history + evaluation_rows(stop, rates, seeds, train_loss, scores)
            now = time.monotonic()
            if now - saved >= checkpoint_seconds:
                saved = now
                checkpoints.save(Progress(step, population, history, seconds_before + now - started))
            write_evaluations(directory, history)
            listen(step, history)
        seconds = seconds_before + time.monotonic() - started
        checkpoints.save(Progress(step, population, history, seconds))
    return Fitted(population, seconds)
