"""The best learning rate of a grid, and whether it lies at an end."""

import numpy as np

from sandbox.train.step import Scores


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
    return "lowest" if as_good == {np.min(rates)} else "highest" if as_good == {np.max(rates)} else ""


def accuracies(rates: np.ndarray, halved: np.ndarray, validation: Scores) -> dict[float, float]:
    """Learning rate, of those not halved -> validation accuracy, averaged over seeds.

    Args:
        rates: the learning rate of each member.
        halved: whether its learning rate was halved.
        validation: its scores on validation data, `[P, examples]`.
    """
    accuracy = validation.accuracy.mean(axis=1)
    return {rate.item(): accuracy[rates == rate].mean().item() for rate in np.unique(rates[~halved])}
