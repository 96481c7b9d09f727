"""The bootstrap interval of a mean over seeds."""

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95
_ENUMERATED = 6  # 6^6 = 46,656 resamples are all of them
_RESAMPLES = 20_000


def mean_and_interval(values: ArrayLike) -> tuple[float, float, float]:
    """The mean over seeds and the ends of its 95 % percentile bootstrap interval.

    For up to 6 seeds all resamples with replacement are enumerated, so the ends are exact; for more, 20,000 are
    drawn with a fixed seed. Values that are not finite (members without a score) are left out; if none is left,
    all three results are nan. For a single seed the ends are nan.

    For 2 and 3 seeds each extreme makes up more than 2.5 % of the resamples, so the interval is the range of the
    seeds, which covers the true mean far less often than 95 % of the time.
    """
    scores = np.sort(np.asarray(values, dtype=float))
    scores = scores[np.isfinite(scores)]
    n = len(scores)
    if n == 0:
        return np.nan, np.nan, np.nan
    mean = float(scores.mean())
    if n == 1:
        return mean, np.nan, np.nan
    if n <= _ENUMERATED:
        drawn = np.indices((n,) * n).reshape(n, -1).T
    else:
        drawn = np.random.default_rng(0).integers(n, size=(_RESAMPLES, n))
    means = scores[drawn].mean(axis=1)
    tail = (1 - LEVEL) / 2
    # The quantile of this finite distribution is one of the means, never a point between two.
    low, high = np.quantile(means, [tail, 1 - tail], method="inverted_cdf")
    return mean, float(low), float(high)
