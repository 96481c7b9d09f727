"""Successive halving: learning rates that fall behind on validation data are not trained to the end.

Source: Jamieson & Talwalkar 2016, arXiv:1502.07943, with the seeds of a learning rate as one arm.
"""

import numpy as np

from sandbox.train.step import Member, Scores


def halve(population: Member, rates: np.ndarray, validation: Scores) -> Member:
    """Freezes the members of the worse half of the learning rates that are still compared; the better half stays.

    The order is that of the mean accuracy over seeds, then of the mean loss. A member that solved the task or
    diverged has no steps to save, and counts with its scores.

    Args:
        population: members before the halving.
        rates: the learning rate of each.
        validation: their scores on validation data, `[P, examples]`.
    """
    halved = np.asarray(population.halved)
    compared = np.unique(rates[~halved])
    accuracy, loss = validation.accuracy.mean(axis=1), np.nan_to_num(validation.loss.mean(axis=1), nan=np.inf)
    ranked = sorted(compared, key=lambda rate: (-accuracy[rates == rate].mean(), loss[rates == rate].mean(), rate))
    worse = np.isin(rates, ranked[(len(ranked) + 1) // 2 :])
    return population._replace(active=population.active & ~worse, halved=population.halved | worse)
