import itertools
import math

import numpy as np
import pytest

from sandbox.report.intervals import mean_and_interval


def test_two_and_three_seeds_give_their_range():
    assert mean_and_interval([0.6, 0.2]) == pytest.approx((0.4, 0.2, 0.6), abs=1e-15)
    assert mean_and_interval([0.6, 0.2, 0.4])[1:] == pytest.approx((0.2, 0.6), abs=1e-15)


def test_four_seeds_give_the_quantiles_of_all_resamples():
    # The number of ones in a resample is binomial(4, 1/4): P(0) = 0.316, P(>= 3) = 0.051, P(4) = 0.004.
    assert mean_and_interval([0, 0, 1, 0]) == (0.25, 0.0, 0.75)


def test_six_seeds_agree_with_a_count_of_every_resample():
    scores = [0.91, 0.97, 0.88, 0.93, 0.99, 0.9]
    means = sorted(sum(drawn) / 6 for drawn in itertools.product(scores, repeat=6))
    ends = [means[math.ceil(q * len(means)) - 1] for q in (0.025, 0.975)]
    assert mean_and_interval(scores)[1:] == pytest.approx(ends, abs=1e-12)


def test_many_seeds_are_deterministic_and_cover_what_theory_says():
    scores = np.random.default_rng(3).normal(0.5, 0.1, size=40)
    mean, low, high = mean_and_interval(scores)
    assert mean_and_interval(scores[::-1]) == (mean, low, high)
    half = 1.96 * scores.std() / math.sqrt(40)
    assert (mean - low, high - mean) == pytest.approx((half, half), rel=0.1)


def test_one_seed_has_no_interval_and_none_has_nothing():
    mean, low, high = mean_and_interval([0.5])
    assert mean == 0.5
    assert np.isnan([low, high]).all()
    assert np.isnan(mean_and_interval([])).all()


def test_members_without_a_score_are_left_out_of_the_mean():
    assert mean_and_interval([0.6, float("nan"), 0.2])[0] == pytest.approx(0.4)


def test_equal_scores_have_an_interval_of_no_width():
    assert mean_and_interval([0.1, 0.1, 0.1]) == pytest.approx((0.1, 0.1, 0.1), abs=1e-15)
