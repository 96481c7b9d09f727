"""Example number `index` is a pure function of (task, key, split, index)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sandbox.tasks.mqar import MQARConfig
from sandbox.tasks.parts.filler import Filler
from sandbox.tasks.streams import Split, sample_batch


def assert_same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def rows(batch, places):
    return jax.tree.map(lambda leaf: leaf[np.asarray(places)], batch)


def test_an_example_does_not_depend_on_the_batch_it_comes_in(task, draw_batch):
    whole = draw_batch(task, 12)
    for index in (0, 5, 11):
        assert_same(draw_batch(task, 1, start=index), rows(whole, [index]))


def test_a_population_of_seeds_draws_inside_a_compiled_scan(task, draw_batch):
    """As training does: keys are mapped, and where a batch starts is known only while it runs."""

    def three_batches(key):
        def draw(start, _):
            return start + 4, sample_batch(task, key, Split.TRAIN, start, 4)

        drawn = jax.lax.scan(draw, jnp.int32(0), length=3)[1]
        return jax.tree.map(lambda leaf: leaf.reshape(12, *leaf.shape[2:]), drawn)

    population = jax.jit(jax.vmap(three_batches))(jax.vmap(jax.random.key)(jnp.arange(2)))
    for seed in (0, 1):
        assert_same(rows(population, seed), draw_batch(task, 12, seed=seed))


def test_a_finite_set_repeats_in_the_same_order(task, draw_batch):
    finite = draw_batch(task, 12, start=3, num_examples=5)
    assert_same(finite, rows(draw_batch(task, 12), [3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]))


@pytest.mark.slow(seconds=5)
def test_splits_and_seeds_and_indices_all_differ(draw_batch):
    task = MQARConfig(length=32, pairs=8, weights=1, filler=Filler.random)
    sequences = [
        tuple(sequence)
        for seed in (0, 1)
        for split in Split
        for sequence in draw_batch(task, 64, seed=seed, split=split).tokens.tolist()
    ]
    assert len(set(sequences)) == 2 * 3 * 64


def test_large_indices_stay_distinct(task, draw_batch):
    late = draw_batch(task, 12, start=2**31 - 100)
    assert len({tuple(sequence) for sequence in late.tokens.tolist()}) == 12
    assert_same(rows(late, 5), rows(draw_batch(task, 12, start=2**31 - 95), 0))
