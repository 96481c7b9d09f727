"""How often intervals over few seeds cover the true mean of accuracies that look like recall experiments'."""

import pathlib
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy import special, stats

LEVEL = 0.95
SEEDS = (2, 3, 5, 10)
STUDIES, BOOTSTRAPPED_STUDIES, RESAMPLES = 20_000, 1_000, 999
CLAMP = 1 / (2 * 2048)  # half an example of the 2048 that a member is tested on
POPULATION = 2_000_000  # draws that stand for all seeds

Scores = np.ndarray
Ends = tuple[np.ndarray, np.ndarray]


def around(mean: float, deviation: float) -> Callable[[Generator, tuple[int, int]], Scores]:
    """A beta distribution with this mean and standard deviation."""
    total = mean * (1 - mean) / deviation**2 - 1
    return lambda rng, shape: rng.beta(mean * total, (1 - mean) * total, shape)


def skewed(error: float) -> Callable[[Generator, tuple[int, int]], Scores]:
    """Errors that are exponentially distributed, those below half an example counted as none."""

    def draw(rng: Generator, shape: tuple[int, int]) -> Scores:
        scores = 1 - np.minimum(rng.exponential(error, shape), 1)
        return np.where(scores > 1 - CLAMP, 1.0, scores)

    return draw


def bimodal(learned: float) -> Callable[[Generator, tuple[int, int]], Scores]:
    """A share of the seeds has learned and is around 0.97, the others are around 0.2."""

    def draw(rng: Generator, shape: tuple[int, int]) -> Scores:
        high, low = around(0.97, 0.01)(rng, shape), around(0.2, 0.03)(rng, shape)
        return np.where(rng.random(shape) < learned, high, low)

    return draw


DISTRIBUTIONS = {
    "tight at 0.5": around(0.5, 0.02),
    "tight at 0.9": around(0.9, 0.01),
    "tight at 0.995": around(0.995, 0.002),
    "wide at 0.6": around(0.6, 0.15),
    "skewed, error 0.02": skewed(0.02),
    "skewed, error 0.002": skewed(0.002),
    "bimodal, 9 of 10 learn": bimodal(0.9),
    "bimodal, 7 of 10 learn": bimodal(0.7),
    "bimodal, half learns": bimodal(0.5),
}


def student(scores: Scores) -> Ends:
    """Student's t, with its ends cut to 0 and 1."""
    count = scores.shape[1]
    half = special.stdtrit(count - 1, (1 + LEVEL) / 2) * stats.sem(scores, axis=1)
    mean = scores.mean(axis=1)
    return np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)


def student_of_logits(scores: Scores) -> Ends:
    """Student's t of the log odds, of scores clamped to half an example from 0 and 1, transformed back."""
    count, logits = scores.shape[1], special.logit(np.clip(scores, CLAMP, 1 - CLAMP))
    half = special.stdtrit(count - 1, (1 + LEVEL) / 2) * stats.sem(logits, axis=1)
    mean = logits.mean(axis=1)
    return special.expit(mean - half), special.expit(mean + half)


def bootstrap(method: str) -> Callable[[Scores], Ends]:
    """The bootstrap of scipy; where it has no interval, as for equal scores, one of no width."""

    def ends(scores: Scores) -> Ends:
        options = {"axis": 1, "method": method, "n_resamples": RESAMPLES, "confidence_level": LEVEL}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            interval = stats.bootstrap((scores,), np.mean, rng=np.random.default_rng(1), **options)
        low, high = interval.confidence_interval
        mean = scores.mean(axis=1)
        return np.where(np.isnan(low), mean, low), np.where(np.isnan(high), mean, high)

    return ends


METHODS: dict[str, tuple[Callable[[Scores], Ends], int]] = {
    "t": (student, STUDIES),
    "t of logits": (student_of_logits, STUDIES),
    "percentile bootstrap": (bootstrap("percentile"), BOOTSTRAPPED_STUDIES),
    "BCa bootstrap": (bootstrap("BCa"), BOOTSTRAPPED_STUDIES),
}


def main() -> None:
    """Writes the coverage and the median width of every interval beside this file."""
    rows = []
    for name, draw in DISTRIBUTIONS.items():
        mean = draw(np.random.default_rng(2), (POPULATION, 1)).mean()
        for seeds in SEEDS:
            scores = draw(np.random.default_rng(3), (STUDIES, seeds))
            for method, (interval, studies) in METHODS.items():
                low, high = interval(scores[:studies])
                covered = (low <= mean) & (mean <= high)
                row = {"distribution": name, "mean": mean, "seeds": seeds, "interval": method, "studies": studies}
                rows.append(row | {"coverage": covered.mean(), "median_width": np.median(high - low)})
    table = pd.DataFrame(rows).round({"mean": 4, "coverage": 4, "median_width": 4})
    table.to_csv(pathlib.Path(__file__).with_name("coverage.csv"), index=False, lineterminator="\n")
    for column in ("coverage", "median_width"):
        wide = table.pivot(index=["distribution", "seeds"], columns="interval", values=column)
        print(column, wide[list(METHODS)].reindex(DISTRIBUTIONS, level=0).to_string(), sep="\n")


if __name__ == "__main__":
    main()
