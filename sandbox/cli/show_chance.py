"""Prints for `sandbox-show` what guessing scores, and how many test examples also occur in training."""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from sandbox.cli.display import console
from sandbox.tasks import TaskConfig
from sandbox.tasks.streams import Split, sample_batch
from sandbox.tasks.task import on_each

BATCH = 1000
"""Examples drawn at once; as many of the tests are looked up."""

TRAINING_BATCHES = 50


def print_chance(task: TaskConfig, seed: int) -> None:
    """Prints the accuracy of guesses, by difficulty, and the share of test examples that training has too."""
    draw = jax.jit(sample_batch, static_argnames=("task", "batch_size"))
    key = jax.random.key(seed)
    tested = draw(task, key, int(Split.TEST), 0, BATCH)
    training: set[bytes] = set()
    for number in range(TRAINING_BATCHES):
        training |= _sequences(draw(task, key, int(Split.TRAIN), number * BATCH, BATCH).tokens)
    shared = np.mean([tokens.tobytes() in training for tokens in np.asarray(tested.tokens)])

    console.print(f"chance, by the best constant answer: {_by_difficulty(task.chance, tested.slices)}")
    if any_pair := _by_difficulty(task.context_chance, tested.slices):
        console.print(f"by naming the value of any pair of the sequence: {any_pair}")
    drawn = f"{BATCH:,} test examples, {shared:.1%} occur among {TRAINING_BATCHES * BATCH:,} of training"
    console.print(f"of {drawn}" + ("; splits are disjoint" if task.disjoint_splits else ""))


def _sequences(tokens: jax.Array) -> set[bytes]:
    return {sequence.tobytes() for sequence in np.asarray(tokens)}


def _by_difficulty(number: Callable[[Mapping[str, int]], float | None], slices: Mapping[str, jax.Array]) -> str:
    """The number, or the smallest and the largest with their difficulties; nothing where it is not defined."""
    each = on_each(number, slices)
    if np.isnan(each).any():
        return ""
    ends = dict.fromkeys((int(each.argmin()), int(each.argmax())))
    if len(ends) == 1:
        return f"{each[0]:.3g}"
    at = {end: " ".join(f"{name}={values[end]}" for name, values in slices.items()) for end in ends}
    return " to ".join(f"{each[end]:.3g} ({at[end]})" for end in ends)
