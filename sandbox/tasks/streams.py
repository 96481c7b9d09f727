"""Data sets without files: example number `index` of a split is a pure function of (task, key, split, index).

A run thus needs no input pipeline, resumes exactly where it stopped, and sees the same examples at any batch
size.
"""

import enum

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.shapes import PRNGKey
from sandbox.tasks.task import Example, TaskConfig


class Split(enum.IntEnum):
    """Disjoint domains of keys: no example of one split is drawn from a key of another."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


def sample_at(
    task: TaskConfig,
    key: PRNGKey,
    split: Split,
    index: Int[Array, ""] | int,
    num_examples: int | None = None,
) -> Example:
    """Draw example `index` of a split; the index may be traced.

    With `num_examples` the split is a finite set that repeats in the same order; without it, examples never
    repeat before 2^32 of them, when indices wrap around.
    """
    number = index if num_examples is None else index % num_examples
    return task.sample(jax.random.fold_in(jax.random.fold_in(key, split), number))


def sample_batch(
    task: TaskConfig,
    key: PRNGKey,
    split: Split,
    start_index: Int[Array, ""] | int,
    batch_size: int,
    num_examples: int | None = None,
) -> Example:
    """Draw the examples `start_index, ..., start_index + batch_size - 1`, each as `sample_at` does."""
    indices = start_index + jnp.arange(batch_size, dtype=jnp.int32)
    return jax.vmap(lambda index: sample_at(task, key, split, index, num_examples))(indices)
