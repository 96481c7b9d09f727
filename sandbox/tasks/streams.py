"""Data sets without files: example number `index` of a split is a pure function of (task, key, split, index).

A run thus needs no input pipeline, resumes exactly where it stopped, and sees the same examples at any batch
size. The splits draw from different keys. That keeps their examples apart where there are many; a task with few
(`TaskConfig.disjoint_splits`) gives each sequence to one split by its hash.
"""

import enum

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt32

from sandbox.shapes import PRNGKey
from sandbox.tasks.task import Example, TaskConfig


class Split(enum.IntEnum):
    """Disjoint domains of keys: no example of one split is drawn from a key of another."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


SPLIT_OF_HASH = (Split.TRAIN,) * 6 + (Split.VALIDATION, Split.TEST)
"""The split that a sequence belongs to, by the hash of its tokens modulo the length of this list."""

MOST_DRAWS = 256
"""Draws after which an example of another split is taken: none of an eighth of all sequences has come up by then
with probability (7/8)^256, about 1e-15, unless the split has no sequence at all."""


def sample_at(
    task: TaskConfig,
    key: PRNGKey,
    split: Split | Int[Array, ""],
    index: Int[Array, ""] | int,
    num_examples: int | None = None,
) -> Example:
    """Draw example `index` of a split; both may be traced.

    With `num_examples` the split is a finite set that repeats in the same order; without it, examples never
    repeat before 2^32 of them, when indices wrap around.
    """
    number = index if num_examples is None else index % num_examples
    example_key = jax.random.fold_in(jax.random.fold_in(key, split), number)
    return _sample_of(task, example_key, split) if task.disjoint_splits else task.sample(example_key)


def sample_batch(
    task: TaskConfig,
    key: PRNGKey,
    split: Split | Int[Array, ""],
    start_index: Int[Array, ""] | int,
    batch_size: int,
    num_examples: int | None = None,
) -> Example:
    """Draw the examples `start_index, ..., start_index + batch_size - 1`, each as `sample_at` does."""
    indices = start_index + jnp.arange(batch_size, dtype=jnp.int32)
    return jax.vmap(lambda index: sample_at(task, key, split, index, num_examples))(indices)


def split_of(tokens: Int[Array, "T"], numbers: UInt32[Array, "T N"]) -> Int[Array, ""]:
    """The split that a sequence belongs to where splits are disjoint, at any length of its padding, token 0.

    The hash is the sum modulo 2^32 of a random number for each token at each position, from `hash_numbers` (after
    Zobrist 1970, "A New Hashing Method with Application for Game Playing", which has exclusive or).
    """
    of_tokens = jnp.take_along_axis(numbers, tokens[:, None], axis=1)[:, 0]
    sequence_hash = jnp.sum(jnp.where(tokens == 0, 0, of_tokens), dtype=jnp.uint32)
    return jnp.array(SPLIT_OF_HASH)[sequence_hash % len(SPLIT_OF_HASH)]


def hash_numbers(task: TaskConfig) -> UInt32[Array, "T N"]:
    """The numbers of `split_of`, the same for all tasks with this vocabulary as far as their lengths go."""
    keys = jax.vmap(lambda position: jax.random.fold_in(jax.random.key(0), position))(jnp.arange(task.max_len))
    return jax.vmap(lambda key: jax.random.bits(key, (task.vocab_size,), jnp.uint32))(keys)


def _sample_of(task: TaskConfig, key: PRNGKey, split: Split | Int[Array, ""]) -> Example:
    """Draw until a sequence belongs to the split, at most MOST_DRAWS times."""
    numbers = hash_numbers(task)

    def belongs_elsewhere(drawn: tuple[Int[Array, ""], Example]) -> Bool[Array, ""]:
        draws, example = drawn
        return (split_of(example.tokens, numbers) != split) & (draws < MOST_DRAWS)

    def draw_again(drawn: tuple[Int[Array, ""], Example]) -> tuple[Int[Array, ""], Example]:
        draws, _ = drawn
        return draws + 1, task.sample(jax.random.fold_in(key, draws))

    return jax.lax.while_loop(belongs_elsewhere, draw_again, (jnp.int32(1), task.sample(key)))[1]
