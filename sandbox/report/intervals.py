"""The interval of a mean over seeds, and the words for it in figures and tables."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

LEVEL = 0.95

INTERVAL = f"{LEVEL:.0%} t interval".replace("%", " %")
"""The name of the interval in figures and tables."""


def mean_and_interval(accuracies: ArrayLike, largest: float = 1.0) -> tuple[float, float, float]:
    """The mean over seeds and the ends of its 95 % t interval, cut to 0 and the largest score there can be.

    The ends are mean ± t s / √n, where s is the standard deviation of the n seeds and t the 97.5 % quantile of
    Student's distribution with n - 1 degrees of freedom (`experiments/interval_coverage` says why this one, and
    where it misses the true mean: seeds of which some learn and some do not). Values that are not finite (members
    without a score) are left out; if none is left, all three results are nan. For a single seed the ends are nan.
    """
    scores = np.asarray(accuracies, dtype=float)
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return np.nan, np.nan, np.nan
    mean, half = float(scores.mean()), half_width(scores)
    low, high = np.clip([mean - half, mean + half], 0, largest).tolist()
    return mean, low, high


def half_width(values: np.ndarray) -> float:
    """Half the width of the 95 % t interval of the mean of finite values; nan for a single one."""
    count = len(values)
    if count < 2:
        return np.nan
    return float(special.stdtrit(count - 1, (1 + LEVEL) / 2) * values.std(ddof=1) / np.sqrt(count))


def over_seeds(counts: Iterable[int]) -> str:
    """The numbers of seeds in words: `over 3 seeds`, `over 2 to 5 seeds`, `of one seed`."""
    numbers = sorted(set(counts))
    if numbers == [1]:
        return "of one seed"
    return f"over {' to '.join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))} seeds"


def interval_in_words(counts: Iterable[int]) -> str:
    """What stands at the foot of a figure of means: the interval and the numbers of seeds; one seed has none."""
    numbers = set(counts)
    if numbers == {1}:
        return "One seed, no interval."
    none = " (none for one)" if 1 in numbers else ""
    return f"Mean and {INTERVAL} {over_seeds(numbers)}{none}."
