"""The training loop: train a segment of steps, evaluate, freeze finished members, checkpoint, log, stop."""

import contextlib
import functools
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from sandbox.run_folder import write_evaluations
from sandbox.train.checkpoint import Checkpoints, Progress
from sandbox.train.evaluation import EvaluationSet, evaluation_rows
from sandbox.train.halving import halve
from sandbox.train.learning_rates import further_rates
from sandbox.train.population import Pace, advance, init_population, joined, members_of
from sandbox.train.step import Member, Params, Problem, Scores

Listener = Callable[[Sequence[float], int, list[dict[str, Any]]], None]
"""Called before a population trains and after each evaluation, with its learning rates, its step, and all table
rows of `metrics.csv` so far."""


class Fitted(NamedTuple):
    """All members of a run, trained; ordered by population, learning rate and seed."""

    params: list[Params]
    """Of each population: the first, then one for each learning rate that widened the grid."""
    members: Member
    """All members, without parameters and optimiser states."""
    rates: Float[np.ndarray, "P"]
    """The learning rates as the config has them, in double precision."""
    seeds: Int[np.ndarray, "P"]
    validation: Scores
    """Scores on validation data."""
    seconds: float
    """Wall time of training all members, including compilation and earlier processes."""


def fit(
    problem: Problem,
    seed: int,
    validation: EvaluationSet,
    directory: pathlib.Path,
    *,
    checkpoint_seconds: float,
    listen: Listener,
) -> Fitted:
    """Trains a population of the first learning rates, then one for each rate that `auto` widens the grid by.

    Each population has checkpoints of its own in the directory, and resumes from the newest. Those of one learning
    rate share their programs.
    """
    trained: list[Progress] = []
    scores: list[Scores] = []
    tried: list[float] = []
    rates = problem.train.first_rates
    while True:
        before = [row for progress in trained for row in progress.history]
        log = functools.partial(_log, directory, listen, rates, before)
        with Checkpoints(checkpoint_folder(directory, rates, problem.train.first_rates)) as checkpoints:
            trained.append(fit_population(problem, rates, seed, validation, checkpoints, checkpoint_seconds, log))
        scores.append(validation.score(problem, trained[-1].population.params))
        tried += rates
        fitted = Fitted(
            [progress.population.params for progress in trained],
            joined([progress.population._replace(params=None, opt_state=None) for progress in trained]),
            *members_of(tried, problem.train.num_seeds, seed),
            joined(scores),
            sum(progress.seconds for progress in trained),
        )
        halved = np.asarray(fitted.members.halved)
        rates = further_rates(problem.train, fitted.rates, halved, fitted.validation)
        if not rates:
            return fitted


def checkpoint_folder(
    directory: pathlib.Path, rates: Sequence[float], first_rates: Sequence[float]
) -> pathlib.Path:
    """Where the population of these learning rates saves its checkpoints, in the folder of the run."""
    return directory / ("checkpoints" if list(rates) == list(first_rates) else f"checkpoints-{rates[0]:g}")


def fit_population(
    problem: Problem,
    learning_rates: Sequence[float],
    seed: int,
    validation: EvaluationSet,
    checkpoints: Checkpoints,
    checkpoint_seconds: float,
    log: Callable[[int, list[dict[str, Any]]], None],
) -> Progress:
    """Trains until every member has solved the task, diverged, been halved, or taken all its steps.

    Resumes from the newest checkpoint, if there is one. Whatever stops it, a signal among them, leaves one of the
    last evaluation.
    """
    population = init_population(problem, seed, learning_rates)
    progress = checkpoints.restore(population) or Progress(0, population, [], 0.0)
    seconds_before, started = progress.seconds, time.monotonic()
    saved, pace = started, Pace()
    log(progress.step, progress.history)
    try:
        while progress.step < problem.train.steps and np.any(progress.population.active):
            reached = train_until_evaluation(problem, progress, learning_rates, seed, validation, pace)
            now = time.monotonic()
            progress = reached._replace(seconds=seconds_before + now - started)
            if now - saved >= checkpoint_seconds:
                saved = now
                checkpoints.save(progress)
            log(progress.step, progress.history)
    except BaseException:
        if progress.step:
            with contextlib.suppress(Exception):  # what stopped the run is to be told, not what followed
                checkpoints.save(progress)
        raise
    checkpoints.save(progress)
    return progress


def train_until_evaluation(
    problem: Problem,
    progress: Progress,
    learning_rates: Sequence[float],
    seed: int,
    validation: EvaluationSet,
    pace: Pace,
) -> Progress:
    """Trains to the next evaluation, evaluates, and freezes the members that need no further training."""
    train, start = problem.train, progress.step
    rates, seeds = members_of(learning_rates, train.num_seeds, seed)
    stop = min(start + train.eval_every, train.steps)
    population, train_loss = advance(problem, progress.population, start, stop, pace)
    scores = validation.score(problem, population.params)
    solved = validation.solved(scores, train.solved_at)
    population = population._replace(active=population.active & ~solved)
    if train.halves_between(start, stop):
        population = halve(population, rates, scores)
    rows = evaluation_rows(stop, rates, seeds, train_loss, scores)
    return progress._replace(step=stop, population=population, history=progress.history + rows)


def _log(
    directory: pathlib.Path,
    listen: Listener,
    learning_rates: Sequence[float],
    before: list[dict[str, Any]],
    step: int,
    history: list[dict[str, Any]],
) -> None:
    """Writes and tells how far a population has come; `before` are the rows of the populations before it."""
    if history:
        write_evaluations(directory, before + history)
    listen(learning_rates, step, before + history)
