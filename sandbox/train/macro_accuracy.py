"""Accuracy averaged over classes rather than over positions, as MAD and torchmetrics average it by default."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sandbox.tasks.task import Example
from sandbox.train.step import Params, Problem


class Answers(NamedTuple):
    """What the members of a population answer, and what is right."""

    given: Int[np.ndarray, "P E M"]
    targets: Int[np.ndarray, "E M"]
    scored: Bool[np.ndarray, "E M"]
    """Whether an answer is due there."""


def answers(problem: Problem, batch: Example, params: Params) -> Int[Array, "B M"]:
    """The token that the model finds most likely at each scored position."""
    return jnp.argmax(problem.apply(params, batch), axis=-1)


def macro_accuracy(of: Answers, examples: Bool[np.ndarray, "E"]) -> Float[np.ndarray, "P"]:
    """The mean over classes of the share of a class's positions that are answered right, on these examples.

    It is nan where no answer is due.

    A class is a token that is the answer at a scored position, or that the member gives there: one that it only
    gives counts as 0, as in torchmetrics' `MulticlassAccuracy(average="macro")`, by which MAD reports (Poli et al.
    2024, arXiv:2403.17844).
    """
    scored = of.scored[examples]
    targets = of.targets[examples][scored]
    return np.array([_of_member(given[examples][scored], targets) for given in of.given])


def _of_member(given: Int[np.ndarray, "N"], targets: Int[np.ndarray, "N"]) -> float:
    if not targets.size:
        return math.nan
    num_classes = int(max(given.max(), targets.max())) + 1
    positions = np.bincount(targets, minlength=num_classes)
    right = np.bincount(targets[given == targets], minlength=num_classes)
    classes = (positions > 0) | (np.bincount(given, minlength=num_classes) > 0)
    return float((right[classes] / np.maximum(positions[classes], 1)).mean())
