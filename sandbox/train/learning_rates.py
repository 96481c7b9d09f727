"""The best learning rate of a grid, whether it lies at an end, and the rate that `auto` tries next."""

import math

import numpy as np

from sandbox.option_checks import AUTO
from sandbox.train.config import TrainConfig
from sandbox.train.step import Scores

LOWEST, HIGHEST = "lowest", "highest"

LEARNED = 0.5
"""Validation accuracy that a learning rate must reach to count as one that has learned."""
HIGHEST_UNLEARNED = 0.1
"""As far as `auto` goes up while none has."""


def best_learning_rate(rates: np.ndarray, halved: np.ndarray, validation: Scores) -> float:
    """The learning rate with the best validation accuracy, averaged over seeds; if two tie, the smaller one.

    One that was halved is not chosen.
    """
    accuracy = accuracies(rates, halved, validation)
    return max(sorted(accuracy), key=lambda rate: accuracy[rate])


def edge_of_grid(rates: np.ndarray, halved: np.ndarray, validation: Scores, solved_at: float) -> str:
    """`lowest` or `highest` if no learning rate but the one at this end of the grid is as good as the best.

    Accuracies of at least `solved_at` count as equal, since members stop there. Empty if a rate inside the grid is
    as good, or one at each end, between which the best lies then; and for a grid of one rate, which has no ends.
    """
    accuracy = {rate: min(mean, solved_at) for rate, mean in accuracies(rates, halved, validation).items()}
    as_good = {rate for rate, mean in accuracy.items() if mean == max(accuracy.values())}
    if np.min(rates) == np.max(rates):
        return ""
    return LOWEST if as_good == {np.min(rates)} else HIGHEST if as_good == {np.max(rates)} else ""


def further_rates(train: TrainConfig, rates: np.ndarray, halved: np.ndarray, validation: Scores) -> list[float]:
    """The learning rate that `auto` tries next, if any: the one beyond the end of the grid that is the best.

    Where no rate has learned, which one is the best is an accident; then it is the one above the highest.
    """
    if train.learning_rates != AUTO or len(np.unique(rates)) >= train.most_rates:
        return []
    unlearned = max(accuracies(rates, halved, validation).values()) < LEARNED
    if unlearned and np.max(rates) < HIGHEST_UNLEARNED:
        return [rate_beyond(np.max(rates), 1)]
    edge = edge_of_grid(rates, halved, validation, train.solved_at)
    if not edge:
        return []
    return [rate_beyond(np.min(rates), -1) if edge == LOWEST else rate_beyond(np.max(rates), 1)]


def rate_beyond(rate: float, steps: int) -> float:
    """The rate so many steps above this one on the ladder ..., 1e-3, 3e-3, 1e-2, ..., in steps of about √10."""
    rung = round(2 * math.log10(rate)) + steps
    return float(f"{(1, 3)[rung % 2]}e{rung // 2}")


def accuracies(rates: np.ndarray, halved: np.ndarray, validation: Scores) -> dict[float, float]:
    """Learning rate, of those not halved -> validation accuracy, averaged over seeds.

    Args:
        rates: the learning rate of each member.
        halved: whether its learning rate was halved.
        validation: its scores on validation data, `[P, examples]`.
    """
    accuracy = validation.accuracy.mean(axis=1)
    return {rate.item(): accuracy[rates == rate].mean().item() for rate in np.unique(rates[~halved])}
