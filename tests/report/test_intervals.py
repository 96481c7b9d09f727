import math

import numpy as np
import pytest
from scipy import stats

from sandbox.report.intervals import interval_in_words, mean_and_interval


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_the_interval_is_that_of_student(seeds):
    scores = np.random.default_rng(3).normal(0.5, 0.01, size=seeds)
    expected = stats.t.interval(0.95, seeds - 1, loc=scores.mean(), scale=stats.sem(scores))
    assert mean_and_interval(scores) == pytest.approx((scores.mean(), *expected), abs=1e-12)


def test_the_ends_are_accuracies():
    assert mean_and_interval([0.6, 0.2]) == pytest.approx((0.4, 0.0, 1.0), abs=1e-15)


def test_one_seed_has_no_interval_and_none_has_nothing():
    mean, low, high = mean_and_interval([0.5])
    assert mean == 0.5
    assert np.isnan([low, high]).all()
    assert np.isnan(mean_and_interval([])).all()


def test_members_without_a_score_are_left_out():
    assert mean_and_interval([0.6, math.nan, 0.601]) == mean_and_interval([0.6, 0.601])


def test_equal_scores_have_an_interval_of_no_width():
    assert mean_and_interval([0.1, 0.1, 0.1]) == pytest.approx((0.1, 0.1, 0.1), abs=1e-15)


def test_figures_say_how_many_seeds_and_which_interval():
    assert interval_in_words([3, 3]) == "Mean and 95 % t interval over 3 seeds."
    assert interval_in_words([5, 2, 3]) == "Mean and 95 % t interval over 2 to 5 seeds."
    assert interval_in_words([2, 1]) == "Mean and 95 % t interval over 1 to 2 seeds (none for one)."
    assert interval_in_words([1]) == "One seed, no interval."
