"""A population (learning rates × seeds) as one compiled program per phase.

Sixteen members compile as fast as one. Separate programs, which depend on the task alone, draw the training
data, so that a sweep compiles them once; members with equal seeds share their data.
"""

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sandbox.stopping import check_stop
from sandbox.tasks import TaskConfig
from sandbox.tasks.streams import Split, sample_batch
from sandbox.tasks.task import Example
from sandbox.train.random_keys import training_data_key
from sandbox.train.step import Member, Problem, init_member, train_step

Tree = TypeVar("Tree")

DRAWN_BYTES = 2**26
"""Most bytes of training data drawn ahead per seed; one batch is always drawn, even if it is larger."""

PIECE_SECONDS = 1.0
"""About how long a program trains before it is asked whether to stop."""


class Pace:
    """How many steps a program trains at once; the number changes no result."""

    def __init__(self) -> None:
        self.steps = 1

    def adapt(self, steps: int, seconds: float) -> None:
        """Takes in how long so many steps took. The first ones have the program compiled, and grow slowly."""
        fitting = int(steps * PIECE_SECONDS / max(seconds, 1e-6))
        self.steps = min(max(fitting, 1), 8 * self.steps)


def mapping() -> str:
    """How members are mapped: `map` (one after the other) on CPU, where it is faster, else `vmap`."""
    return "map" if jax.default_backend() == "cpu" else "vmap"


def over_members(function: Callable[..., Any], *arguments: Any) -> Any:
    """Applies `function` to every member; all arguments have a leading axis P, which is split over the devices.

    If P is not a multiple of their number, members of zeros, which are not active, fill up the last device.
    """

    def over_local_members(*arguments: Any) -> Any:
        if mapping() == "vmap":
            return jax.vmap(function)(*arguments)
        return jax.lax.map(lambda member: function(*member), arguments)

    num_members = jax.tree.leaves(arguments)[0].shape[0]
    per_device = math.ceil(num_members / jax.device_count())
    devices = jax.devices()[: math.ceil(num_members / per_device)]
    if len(devices) == 1:
        return over_local_members(*arguments)
    mesh = jax.sharding.Mesh(devices, "members")
    spec = jax.sharding.PartitionSpec("members")
    spread = jax.shard_map(over_local_members, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    missing = len(devices) * per_device - num_members
    filled_up = jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1)), arguments)
    return jax.tree.map(lambda leaf: leaf[:num_members], spread(*filled_up))


def members_of(rates: Sequence[float], num_seeds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Learning rate and seed of every member, ordered by learning rate, then by seed."""
    return np.repeat(rates, num_seeds), np.tile(seed + np.arange(num_seeds), len(rates))


def init_population(problem: Problem, seed: int, learning_rates: Sequence[float] | None = None) -> Member:
    """All members of these learning rates, or of the problem's, before their first step.

    Not compiled as one program, which takes longer than drawing them. Members of one seed share their parameters,
    so these are drawn once; they are stacked by NumPy, since an operation outside of a program is one more to
    compile for every shape.
    """
    rates, seeds = members_of(learning_rates or problem.train.first_rates, problem.train.num_seeds, seed)
    drawn = {
        value: jax.device_get(init_member(problem, jnp.float32(0), jnp.int32(value)))
        for value in dict.fromkeys(seeds)
    }
    members = [
        drawn[value]._replace(learning_rate=np.float32(rate)) for rate, value in zip(rates, seeds, strict=True)
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *members)


def joined(parts: Sequence[Tree], axis: int = 0) -> Tree:
    """The leaves of populations, or of scores, end to end."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis), *parts)


def advance(
    problem: Problem, population: Member, start: int, stop: int, pace: Pace | None = None
) -> tuple[Member, np.ndarray]:
    """Trains all active members from step `start` to `stop - 1`; also returns their mean losses over them."""
    pace = pace or Pace()
    train = problem.train
    example = jax.eval_shape(problem.task.sample, training_data_key(0))
    step_bytes = train.batch_size * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(example))
    ahead = min(max(DRAWN_BYTES // step_bytes, 1), train.eval_every)
    total = np.zeros(population.seed.shape, np.float32)
    for first in range(start, stop, ahead):
        batches = draw_training(
            problem.task,
            population.seed[: train.num_seeds],
            first,
            ahead,
            train.batch_size,
            train.num_examples,
        )
        step, last = first, min(first + ahead, stop)
        while step < last:
            check_stop()
            until, began = min(step + pace.steps, last), time.monotonic()
            population, summed = train_segment(problem, population, total, batches, first, step, until)
            total = np.asarray(summed)
            pace.adapt(until - step, time.monotonic() - began)
            step = until
    return population, total / (stop - start)


@functools.partial(jax.jit, static_argnums=(0, 3, 4, 5))
def draw_training(
    task: TaskConfig,
    seeds: Int[Array, "R"],
    start: Int[Array, ""],
    num_steps: int,
    batch_size: int,
    num_examples: int | None,
) -> Example:
    """The batches of `num_steps` steps for each seed: leaves are [R, num_steps, batch_size, ...]."""

    def batch(seed: Int[Array, ""], step: Int[Array, ""]) -> Example:
        key = training_data_key(seed)
        return sample_batch(task, key, Split.TRAIN, step * batch_size, batch_size, num_examples)

    steps = start + jnp.arange(num_steps, dtype=jnp.int32)
    return jax.lax.map(lambda seed: jax.lax.map(lambda step: batch(seed, step), steps), seeds)


@functools.partial(jax.jit, static_argnums=0)
def train_segment(
    problem: Problem,
    population: Member,
    losses: Float[Array, "P"],
    batches: Example,
    first: Int[Array, ""],
    start: Int[Array, ""],
    stop: Int[Array, ""],
) -> tuple[Member, Float[Array, "P"]]:
    """Trains from step `start` to `stop - 1`, and adds the losses of each member to `losses`.

    `first` is the first step in `batches`. The bounds are traced, so that any number of steps shares one program.
    """
    seed_index = jnp.arange(population.seed.size) % problem.train.num_seeds

    def train(member: Member, total: Float[Array, ""], index: Int[Array, ""]) -> tuple[Member, Float[Array, ""]]:
        def body(step: Int[Array, ""], carry: tuple[Member, Float[Array, ""]]) -> tuple[Member, Float[Array, ""]]:
            member, total = carry
            member, loss = train_step(
                problem, member, step, jax.tree.map(lambda x: x[index, step - first], batches)
            )
            return member, total + loss

        return jax.lax.fori_loop(start, stop, body, (member, total))

    def leave(member: Member, total: Float[Array, ""], index: Int[Array, ""]) -> tuple[Member, Float[Array, ""]]:
        return member, jnp.full((), jnp.nan)

    def train_if_active(
        member: Member, total: Float[Array, ""], index: Int[Array, ""]
    ) -> tuple[Member, Float[Array, ""]]:
        return jax.lax.cond(member.active, train, leave, member, total, index)

    return over_members(train_if_active, population, losses, seed_index)
