"""Examples of any task as numpy arrays.

The package is imported where it is used, and not at the top: the run-time type checks must be in place before.
"""

import functools

import jax
import numpy as np
import pytest


def pytest_generate_tests(metafunc):
    """A test that asks for `task` runs for each task with its defaults, all tests of a task in one process."""
    if "task" in metafunc.fixturenames:
        from sandbox.tasks import TASKS

        metafunc.parametrize(
            "task",
            [pytest.param(TASKS[name](), id=name, marks=pytest.mark.xdist_group(name)) for name in sorted(TASKS)],
        )


@pytest.fixture(scope="session")
def draw_batch():
    """Function of (task, count); compiled once for each task, split and size, and each batch drawn once."""
    from sandbox.tasks.streams import Split, sample_batch

    compiled_batch = jax.jit(sample_batch, static_argnames=("task", "split", "batch_size", "num_examples"))

    @functools.cache
    def draw(task, count=512, *, seed=0, split=Split.TRAIN, start=0, num_examples=None):
        batch = compiled_batch(task, jax.random.key(seed), split, start, count, num_examples)
        return jax.tree.map(np.asarray, batch)

    return draw


@pytest.fixture
def draw_samples():
    """Function of (task, count): examples as `sample` draws them, before any is left to another split."""

    def draw(task, count):
        return jax.tree.map(np.asarray, jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(0), count)))

    return draw
