"""Scores of single sequences, summed up on the host: by slice, by member, by evaluation."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from sandbox.tasks.streams import Split
from sandbox.train.population import evaluation_slices
from sandbox.train.step import Problem, Scores

ALL = "all"
"""The slice that holds every sequence."""


def slice_masks(problem: Problem, split: Split, num_examples: int) -> dict[str, np.ndarray]:
    """Which of the first examples of a split belong to each slice, such as `pairs=16`; `all` comes first."""
    masks = {ALL: np.ones(num_examples, bool)}
    for name, values in evaluation_slices(problem, split, num_examples).items():
        for value in np.unique(values):
            masks[f"{name}={value}"] = np.asarray(values) == value
    return masks


def solved(problem: Problem, scores: Scores) -> Bool[Array, "P"]:
    """Which members answer at least `train.solved_at` on every slice of the validation data."""
    masks = slice_masks(problem, Split.VALIDATION, problem.train.validation_examples)
    accuracy = np.asarray(scores.accuracy)
    worst = np.min([accuracy[:, mask].mean(axis=1) for mask in masks.values()], axis=0)
    return jnp.asarray(worst >= problem.train.solved_at)


def summarise(
    step: int, rates: np.ndarray, seeds: np.ndarray, train_loss: Float[Array, "P"], scores: Scores
) -> list[dict[str, Any]]:
    """The rows of one evaluation, one a member."""
    columns = {
        "learning_rate": rates,
        "seed": seeds,
        "train_loss": np.asarray(train_loss),
        "validation_loss": np.asarray(scores.loss).mean(axis=1),
        "validation_accuracy": np.asarray(scores.accuracy).mean(axis=1),
    }
    return [
        {"step": step} | {name: column[member].item() for name, column in columns.items()}
        for member in range(len(rates))
    ]
