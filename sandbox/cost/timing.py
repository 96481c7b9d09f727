"""Times several programs in alternating rounds, and compares their times."""

import itertools
import math
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Float

Name = TypeVar("Name", bound=Hashable)

Call = Callable[[], Any]
"""Runs a program once and returns the arrays that it computes."""

Seconds = Float[np.ndarray, "rounds"]
"""Seconds per call in each round."""

RESAMPLES = 4000
"""Bootstrap resamples of an interval."""


class Interval(NamedTuple):
    """A value and the ends of its interval."""

    low: float
    middle: float
    high: float


def measure(calls: Mapping[Name, Call], *, rounds: int, block_seconds: float = 0.02) -> dict[Name, Seconds]:
    """Seconds per call of each candidate in each of `rounds` rounds.

    A round runs one block of every candidate, and each round starts from a different candidate: whatever slows the
    machine down for a while slows all of them. A block is as many calls as fill `block_seconds`, at least one,
    after an untimed call, because a program that is called repeatedly, as in training, finds its caches filled and
    its memory mapped. Before the first round each candidate is called twice, to compile it and to count the calls
    of a block.
    """
    counts = {}
    for name, call in calls.items():
        _seconds_per_call(call, 1)
        counts[name] = max(1, round(block_seconds / _seconds_per_call(call, 1)))
    names = list(calls)
    seconds: dict[Name, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % max(1, len(names))
        for name in names[first:] + names[:first]:
            _seconds_per_call(calls[name], 1)
            seconds[name].append(_seconds_per_call(calls[name], counts[name]))
    return {name: np.array(of_rounds) for name, of_rounds in seconds.items()}


def _seconds_per_call(call: Call, count: int) -> float:
    """Waits for each call on a CPU, where calls are synchronous anyway; elsewhere calls queue up."""
    wait_for_each = jax.default_backend() == "cpu"
    began = time.perf_counter()
    for _ in range(count):
        result = call()
        if wait_for_each:
            jax.block_until_ready(result)
    jax.block_until_ready(result)
    return (time.perf_counter() - began) / count


def spread(seconds: Seconds) -> Interval:
    """The 10 % quantile, the median and the 90 % quantile of the rounds."""
    return Interval(*(float(quantile) for quantile in np.quantile(seconds, [0.1, 0.5, 0.9])))


def speed_ratio(seconds: Seconds, baseline: Seconds) -> Interval:
    """Speed in multiples of `baseline`: the ratio of medians, and its 95 % bootstrap interval over rounds.

    Both must come from the same rounds, which are resampled together.
    """
    drawn = np.random.default_rng(0).integers(len(seconds), size=(RESAMPLES, len(seconds)))
    ratios = np.median(baseline[drawn], axis=1) / np.median(seconds[drawn], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(float(low), float(np.median(baseline) / np.median(seconds)), float(high))


class Crossover(NamedTuple):
    """A length at which one program overtakes another, or falls behind it."""

    length: float
    overtakes: bool


def crossovers(speeds: Mapping[int, float]) -> list[Crossover]:
    """The lengths at which a ratio of speeds passes one, interpolated linearly in log ratio and log length.

    `speeds` has the speed at each length in multiples of the other program's, greater than zero.
    """
    found = []
    for (short, before), (long, after) in itertools.pairwise(sorted(speeds.items())):
        if (before < 1) != (after < 1):
            way = math.log(before) / (math.log(before) - math.log(after))
            found.append(Crossover(short * (long / short) ** way, overtakes=after >= 1))
    return found


class BoundedCrossover(NamedTuple):
    """A crossover, and the lengths between which it lies."""

    length: float
    low: float
    high: float
    overtakes: bool
    share: float
    """Share of the resamples that have such a crossover; the interval is of these resamples."""


def crossovers_of_counts(
    counts: Mapping[int, int | float], others: Mapping[int, int | float]
) -> list[BoundedCrossover]:
    """The lengths at which one count passes the other, and the counted lengths on either side."""
    lengths = sorted(counts.keys() & others.keys())
    return [
        BoundedCrossover(
            found.length,
            max(length for length in lengths if length <= found.length),
            min(length for length in lengths if length >= found.length),
            found.overtakes,
            1.0,
        )
        for found in crossovers({length: others[length] / counts[length] for length in lengths})
    ]


def crossovers_of_times(seconds: Mapping[int, Seconds], others: Mapping[int, Seconds]) -> list[BoundedCrossover]:
    """The lengths at which one program overtakes the other or falls behind it, with 95 % bootstrap intervals.

    All seconds must come from the same rounds, which are resampled together. Of the crossovers of a resample, the
    interval takes the nearest one in the same direction. `seconds` and `others` are by length.
    """
    lengths = sorted(seconds.keys() & others.keys())
    if not lengths:
        return []
    rounds = len(seconds[lengths[0]])
    drawn = np.random.default_rng(0).integers(rounds, size=(RESAMPLES, rounds))
    ratios = [np.median(others[n][drawn], axis=1) / np.median(seconds[n][drawn], axis=1) for n in lengths]
    in_resamples = [
        crossovers(dict(zip(lengths, map(float, speeds), strict=True))) for speeds in zip(*ratios, strict=True)
    ]
    speeds = {length: float(np.median(others[length]) / np.median(seconds[length])) for length in lengths}
    bounded = []
    for found in crossovers(speeds):
        nearest = [
            min(alike, key=lambda length: abs(math.log(length / found.length)))
            for crossed in in_resamples
            if (alike := [one.length for one in crossed if one.overtakes is found.overtakes])
        ]
        low, high = np.quantile(nearest, [0.025, 0.975]) if nearest else (found.length, found.length)
        share = len(nearest) / RESAMPLES
        bounded.append(BoundedCrossover(found.length, float(low), float(high), found.overtakes, share))
    return bounded
