"""Queries after a context, at places that follow a power law: what the MQAR family shares.

Source: Arora et al. 2023, "Zoology: Measuring and Improving Recall in Efficient Language Models" (arXiv
2312.04927); `zoology/data/multiquery_ar.py` of its code, from which its other MQAR files have the law too.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from sandbox.shapes import PRNGKey
from sandbox.tasks.task import Example
from sandbox.tasks.without_replacement import draw_weighted


class Context(NamedTuple):
    """The first `length` of some tokens, which a sequence begins with."""

    tokens: Int[Array, "n"]
    length: Int[Array, ""]


class Queries(NamedTuple):
    """What is asked, and the right answers; the first of them are used."""

    tokens: Int[Array, "M W"]
    """Each query is W tokens, and the answer is due at the last."""
    answers: Int[Array, "M"]
    used: Bool[Array, "M"]


def draw_slots(
    key: PRNGKey, num_slots: Int[Array, ""], most_slots: int, power_a: float, draws: int
) -> Int[Array, "draws"]:
    """Draw the slot of each query in turn, slot i in proportion to (i+1)^(power_a-1) among those left.

    Args:
        key: of this draw.
        num_slots: how many slots this sequence has.
        most_slots: how many the sequence with the most has.
        power_a: 1 draws uniformly, less asks sooner.
        draws: how many queries there are at most; where `num_slots` are fewer, the last ones get other slots.
    """
    slot = jnp.arange(most_slots)
    log_weights = (power_a - 1) * jnp.log1p(slot.astype(jnp.float32))
    return draw_weighted(key, jnp.where(slot < num_slots, log_weights, -jnp.inf), draws)


def write_sequence(
    context: Context,
    queries: Queries,
    slots: Int[Array, "M"],
    filler: Int[Array, "T"],
    length: Int[Array, ""],
    pairs: Int[Array, ""],
) -> Example:
    """The example that shows the context, then filler with the queries in their slots, then padding.

    A slot has the tokens of a query and one more, which is filler, so that the answer is never shown.
    """
    width = queries.tokens.shape[1]
    time = jnp.arange(filler.size)
    padded = jnp.pad(context.tokens, (0, filler.size - context.tokens.size))
    tokens = jnp.where(time < context.length, padded, filler)
    starts = context.length + (width + 1) * slots
    places = starts[:, None] + jnp.arange(width)[None, :]
    places = jnp.where(queries.used[:, None], places, filler.size)  # unused ones are dropped
    tokens = tokens.at[places].set(queries.tokens, mode="drop")
    return Example(
        tokens=jnp.where(time < length, tokens, 0),
        positions=jnp.where(queries.used, starts + width - 1, 0),
        targets=jnp.where(queries.used, queries.answers, 0),
        weights=queries.used.astype(jnp.float32),
        slices={"length": length, "pairs": pairs},
    )
