"""Examples of any task as numpy arrays."""

import functools

import jax
import numpy as np
import pytest

from sandbox.tasks import TASKS, streams
from sandbox.tasks.streams import Split

# Here compiling costs far more than running.
quick_jit = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)
compiled_batch = quick_jit(streams.sample_batch, static_argnames=("task", "split", "batch_size", "num_examples"))


@pytest.fixture(scope="session", name="quick_jit")
def quick_jit_fixture():
    """`jax.jit` that compiles quickly rather than well."""
    return quick_jit


@pytest.fixture(params=sorted(TASKS))
def task(request):
    """Each task with its defaults."""
    return TASKS[request.param]()


@pytest.fixture(scope="session")
def draw_batch():
    """Function of (task, count); compiled once for each task, split and size in the whole session."""

    def draw(task, count=512, *, seed=0, split=Split.TRAIN, start=0, num_examples=None):
        batch = compiled_batch(task, jax.random.key(seed), split, start, count, num_examples)
        return jax.tree.map(np.asarray, batch)

    return draw
