"""A population, learning rates × seeds, as one compiled program per phase.

What the members share is traced and compiled once: sixteen members compile as fast as one.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sandbox.tasks.streams import Split, sample_batch
from sandbox.tasks.task import Example
from sandbox.train.config import TrainConfig
from sandbox.train.step import Member, Params, Problem, Scores, init_member, score, train_step

EVALUATION_BATCH = 256
"""Sequences scored at once: bounds the memory that an evaluation takes, not its result."""


def mapping() -> str:
    """How members are mapped here: one after the other on CPU, where that is faster, else side by side."""
    return "map" if jax.default_backend() == "cpu" else "vmap"


def over_members(function: Callable[..., Any], *arguments: Any) -> Any:
    """Applies `function` to every member: the arguments have a leading axis P."""
    if mapping() == "vmap":
        return jax.vmap(function)(*arguments)
    return jax.lax.map(lambda member: function(*member), arguments)


def members_of(train: TrainConfig, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Learning rate and seed of every member, ordered by learning rate, then by seed."""
    rates = np.repeat(train.learning_rates, train.num_seeds)
    seeds = np.tile(seed + np.arange(train.num_seeds), len(train.learning_rates))
    return rates, seeds


@functools.partial(jax.jit, static_argnums=0)
def init_population(
    problem: Problem, learning_rates: Float[Array, "P"], seeds: Int[Array, "P"]
) -> Member:
    """All members before their first step."""
    return over_members(functools.partial(init_member, problem), learning_rates, seeds)


@functools.partial(jax.jit, static_argnums=0)
def train_chunk(
    problem: Problem, population: Member, start: Int[Array, ""], stop: Int[Array, ""]
) -> tuple[Member, Float[Array, "P"]]:
    """Steps `start` to `stop - 1` of every active member, and its mean loss over them.

    The bounds are traced, so that chunks of any length share one program.
    """

    def advance(member: Member) -> tuple[Member, Float[Array, ""]]:
        def body(step: Int[Array, ""], carry: tuple[Member, Float[Array, ""]]) -> tuple[Member, Float[Array, ""]]:
            member, total = carry
            member, loss = train_step(problem, member, step)
            return member, total + loss

        member, total = jax.lax.fori_loop(start, stop, body, (member, jnp.zeros(())))
        return member, total / (stop - start)

    def advance_if_active(member: Member) -> tuple[Member, Float[Array, ""]]:
        return jax.lax.cond(member.active, advance, lambda frozen: (frozen, jnp.nan), member)

    return over_members(advance_if_active, population)


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def evaluate(problem: Problem, params: Params, split: Split, num_examples: int) -> Scores:
    """Scores of all members on the first examples of a split, which are the same for every run of a task."""
    batches = evaluation_batches(problem, split, num_examples)

    def evaluate_member(params: Params) -> Scores:
        scores = jax.lax.map(functools.partial(score, problem, params), batches)
        return jax.tree.map(lambda leaf: leaf.reshape(-1)[:num_examples], scores)

    return over_members(evaluate_member, params)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def evaluation_slices(problem: Problem, split: Split, num_examples: int) -> dict[str, Int[Array, "E"]]:
    """How difficult each of these examples is, by slice name."""
    batches = evaluation_batches(problem, split, num_examples)
    return {name: values.reshape(-1)[:num_examples] for name, values in batches.slices.items()}


def evaluation_batches(problem: Problem, split: Split, num_examples: int) -> Example:
    """The first examples of a split in equal batches; the last one may hold a few more than are asked for."""
    num_batches = -(-num_examples // EVALUATION_BATCH)
    batch_size = -(-num_examples // num_batches)
    starts = batch_size * jnp.arange(num_batches, dtype=jnp.int32)
    return jax.lax.map(
        lambda start: sample_batch(problem.task, jax.random.key(2), split, start, batch_size), starts
    )
