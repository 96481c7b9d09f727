"""Which learning rate is chosen, and when it counts as the end of its grid."""

import numpy as np
import pytest

from sandbox.train.learning_rates import best_learning_rate, edge_of_grid
from sandbox.train.step import Scores


def scores(accuracy):
    """Scores of one example for each member."""
    column = np.array(accuracy)[:, None]
    return Scores(accuracy=column, exact=column, loss=np.zeros_like(column))


def test_the_smaller_of_two_equally_good_learning_rates_is_chosen():
    rates, validation = np.repeat([0.1, 0.2, 0.3], 2), scores([0.2, 0.4, 0.5, 0.1, 0.3, 0.3])
    assert best_learning_rate(rates, np.zeros(6, bool), validation) == 0.1
    assert best_learning_rate(rates, rates == 0.1, validation) == 0.2


@pytest.mark.parametrize(
    ("accuracy", "halved", "edge"),
    [
        ([0.5, 0.4, 0.3], [], "lowest"),
        ([0.3, 0.4, 0.5], [], "highest"),
        ([0.3, 0.5, 0.4], [], ""),
        ([0.5, 0.5, 0.3], [], ""),  # a rate inside is as good
        ([0.4, 0.999, 1.0], [], ""),  # as good as solved
        ([0.5, 0.3, 0.5], [], ""),  # the best lies between the ends
        ([0.3, 0.4, 0.5], [2], ""),  # a halved rate is an end, and not the best
        ([0.5], [], ""),
    ],
)
def test_the_best_rate_is_an_edge_if_no_other_is_as_good(accuracy, halved, edge):
    rates = np.arange(len(accuracy)) + 1.0
    assert edge_of_grid(rates, np.isin(np.arange(len(rates)), halved), scores(accuracy), solved_at=0.999) == edge
