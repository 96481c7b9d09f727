"""Answers of a model that reads what it wrote, in place of the right answers that teacher forcing shows it."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.tasks.task import Example
from sandbox.train.step import Params, Problem, answers_by_position


def free_running(problem: Problem, batch: Example, params: Params) -> Float[Array, "B"]:
    """1 for each sequence whose answers are all right when each is read by the model that gave it.

    The model decodes the sequence with `step`, a token at a time: the prompt as it stands, then after each scored
    position the token that it finds most likely there, so that one wrong token may mislead all that follow. For
    tasks with `answers_are_read`.
    """
    model = problem.model_with(params)
    size, length = batch.tokens.shape
    due, targets = answers_by_position(batch)

    def next_token(carry: tuple[Any, ...], column: tuple[Array, ...]) -> tuple[tuple[Any, ...], None]:
        state, answers, read, right = carry
        tokens, due_here, targets_here = column
        logits, state = model.step(jnp.where(read, answers, tokens), state)
        answers = jnp.argmax(logits, axis=-1).astype(tokens.dtype)
        right = right & (~due_here | (answers == targets_here))
        return (state, answers, due_here, right), None

    start = (
        model.init_state(size, length),
        jnp.zeros(size, batch.tokens.dtype),
        jnp.zeros(size, bool),
        jnp.ones(size, bool),
    )
    (_, _, _, right), _ = jax.lax.scan(next_token, start, (batch.tokens.T, due.T, targets.T))
    return right.astype(jnp.float32)
