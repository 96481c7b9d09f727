"""Draws without replacement: every ordered selection has its exact probability."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from sandbox.tasks.parts.without_replacement import draw_uniform, draw_weighted

DRAWS = 20_000


def draw_many(draw_one, count=DRAWS):
    return np.asarray(jax.jit(jax.vmap(draw_one))(jax.random.split(jax.random.key(0), count)))


def assert_frequencies(selections, probabilities):
    """The selections occur as often as `probabilities` says, and no others occur (chi-square, p > 0.001)."""
    observed = dict.fromkeys(probabilities, 0)
    for selection in map(tuple, selections.tolist()):
        observed[selection] += 1
    expected = np.array(list(probabilities.values())) * len(selections)
    assert scipy.stats.chisquare(list(observed.values()), expected).pvalue > 1e-3


@pytest.mark.parametrize(("population", "draws"), [(2, 1), (2, 2), (3, 2), (4, 4), (5, 3), (7, 2)])
def test_every_ordered_selection_is_equally_likely(population, draws):
    selections = list(itertools.permutations(range(population), draws))
    drawn = draw_many(lambda key: draw_uniform(key, population, draws))
    assert_frequencies(drawn, dict.fromkeys(selections, 1 / len(selections)))


@pytest.mark.parametrize(("population", "draws"), [(1, 1), (127, 64), (127, 127), (4095, 16)])
def test_draws_are_distinct_and_in_range(population, draws):
    drawn = draw_many(lambda key: draw_uniform(key, population, draws), count=200)
    assert drawn.min() >= 0
    assert drawn.max() < population
    assert all(len(set(row)) == draws for row in drawn.tolist())


@pytest.mark.parametrize(("population", "draws"), [(127, 64), (127, 127), (300, 40)])
def test_the_result_is_that_of_swapping_a_table(population, draws):
    swaps = draw_many(
        lambda key: jax.random.randint(key, (draws,), jnp.arange(draws), population, dtype=jnp.int32),
        count=20,
    )
    drawn = draw_many(lambda key: draw_uniform(key, population, draws), count=20)
    for places, result in zip(swaps.tolist(), drawn.tolist(), strict=True):
        table = list(range(population))
        for step, place in enumerate(places):
            table[step], table[place] = table[place], table[step]
        assert result == table[:draws]


def test_more_draws_than_the_population_holds_are_refused():
    with pytest.raises(ValueError, match="5 distinct numbers cannot be drawn from a population of 4"):
        draw_uniform(jax.random.key(0), 4, 5)


def test_weighted_draws_follow_the_weights_among_those_left():
    weights = np.array([4.0, 2.0, 1.0, 0.5])
    probabilities = {}
    for selection in itertools.permutations(range(4), 3):
        left, probability = weights.sum(), 1.0
        for item in selection:
            probability *= weights[item] / left
            left -= weights[item]
        probabilities[selection] = probability
    log_weights = jnp.log(jnp.asarray(weights, dtype=jnp.float32))
    assert_frequencies(draw_many(lambda key: draw_weighted(key, log_weights, 3)), probabilities)


def test_weight_zero_is_drawn_last():
    log_weights = jnp.array([0.0, -jnp.inf, 0.0])
    drawn = draw_many(lambda key: draw_weighted(key, log_weights, 3), count=100)
    assert set(drawn[:, 2].tolist()) == {1}
