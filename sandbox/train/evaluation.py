"""Scores on validation and test data, which are the same for every run of a task."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sandbox.results import ALL_EXAMPLES, Evaluation
from sandbox.tasks import TaskConfig
from sandbox.tasks.streams import Split, sample_batch
from sandbox.tasks.task import Example
from sandbox.train.free_running import free_running
from sandbox.train.macro_accuracy import Answers, answers
from sandbox.train.population import joined, over_members
from sandbox.train.random_keys import evaluation_data_key
from sandbox.train.step import Params, Problem, Scores, score

EVALUATION_BATCH = 256
"""Sequences scored at once; bounds memory and does not change results."""


class EvaluationSet:
    """The first `num_examples` examples of a split, drawn once, when first needed, and the slices they belong to.

    A test set has this number of examples of each of the task's `test_tasks`. Their lengths may differ from the
    length trained on; each length compiles its own program.
    """

    def __init__(self, task: TaskConfig, split: Split, num_examples: int):
        self.task, self.split, self.num_examples = task, split, num_examples

    @functools.cached_property
    def parts(self) -> list[tuple[Example, int]]:
        """Batches, each with the number of its leading sequences that count."""
        return [
            (draw_evaluation(drawn, self.split, start), min(EVALUATION_BATCH, self.num_examples - start))
            for drawn in (self.task.test_tasks() if self.split is Split.TEST else (self.task,))
            for start in range(0, self.num_examples, EVALUATION_BATCH)
        ]

    @functools.cached_property
    def slices(self) -> dict[str, Bool[np.ndarray, "E"]]:
        """Masks over the examples: `all`, then one per difficulty such as `pairs=4` if there are several."""
        total = sum(count for _, count in self.parts)
        slices = {ALL_EXAMPLES: np.ones(total, bool)}
        for name in self.parts[0][0].slices:
            values = np.concatenate([batch.slices[name][:count] for batch, count in self.parts])
            different = np.unique(values)
            if len(different) > 1:
                slices |= {f"{name}={value}": values == value for value in different}
        return slices

    def score(self, problem: Problem, params: Params) -> Scores:
        """Scores of every member on every example."""
        scores = jax.device_get([score_population(problem, params, batch) for batch, _ in self.parts])
        kept = [
            jax.tree.map(lambda leaf, count=count: leaf[:, :count], score)
            for score, (_, count) in zip(scores, self.parts, strict=True)
        ]
        return joined(kept, axis=1)

    def free_running(self, problem: Problem, params: Params) -> Float[np.ndarray, "P E"]:
        """1 for each member and example whose answers are all right when the model reads its own."""
        exact = jax.device_get([free_running_population(problem, params, batch) for batch, _ in self.parts])
        kept = [rows[:, :count] for rows, (_, count) in zip(exact, self.parts, strict=True)]
        return np.concatenate(kept, axis=1)

    def answers(self, problem: Problem, params: Params) -> Answers:
        """What every member answers at each scored position of each example."""
        longest = max(batch.targets.shape[1] for batch, _ in self.parts)

        def rows(array: Array, count: int) -> np.ndarray:
            kept = np.asarray(array)[..., :count, :]
            return np.pad(kept, [(0, 0)] * (kept.ndim - 1) + [(0, longest - kept.shape[-1])])

        given = [rows(answers_of_population(problem, params, batch), count) for batch, count in self.parts]
        return Answers(
            given=np.concatenate(given, axis=1),
            targets=np.concatenate([rows(batch.targets, count) for batch, count in self.parts]),
            scored=np.concatenate([rows(batch.weights > 0, count) for batch, count in self.parts]),
        )

    def solved(self, scores: Scores, threshold: float) -> Bool[np.ndarray, "P"]:
        """Whether each member's accuracy is at least `threshold` on every slice."""
        worst = np.min([scores.accuracy[:, mask].mean(axis=1) for mask in self.slices.values()], axis=0)
        return worst >= threshold


@functools.partial(jax.jit, static_argnums=(0, 1))
def draw_evaluation(task: TaskConfig, split: Split, start: Int[Array, ""]) -> Example:
    """Examples `start` to `start + EVALUATION_BATCH - 1` of a split."""
    return sample_batch(task, evaluation_data_key(), split, start, EVALUATION_BATCH)


@functools.partial(jax.jit, static_argnums=0)
def score_population(problem: Problem, params: Params, batch: Example) -> Scores:
    """Scores of all members on one batch."""
    return over_members(functools.partial(score, problem, batch), params)


@functools.partial(jax.jit, static_argnums=0)
def free_running_population(problem: Problem, params: Params, batch: Example) -> Float[Array, "P E"]:
    """1 for each member and sequence of one batch that is answered right without teacher forcing."""
    return over_members(functools.partial(free_running, problem, batch), params)


@functools.partial(jax.jit, static_argnums=0)
def answers_of_population(problem: Problem, params: Params, batch: Example) -> Int[Array, "P B M"]:
    """What all members answer at the scored positions of one batch."""
    return over_members(functools.partial(answers, problem, batch), params)


def evaluation_rows(
    step: int, rates: np.ndarray, seeds: np.ndarray, train_loss: Float[np.ndarray, "P"], scores: Scores
) -> list[dict[str, Any]]:
    """The table rows of `metrics.csv` for one evaluation, one per member."""
    loss, accuracy = np.mean(scores.loss, axis=1), np.mean(scores.accuracy, axis=1)
    members = zip(rates, seeds, train_loss, loss, accuracy, strict=True)
    return [dataclasses.asdict(Evaluation(step, *(value.item() for value in member))) for member in members]
