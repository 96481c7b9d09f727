"""Everything that a look inside one trained model shows, as tables."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Int

from sandbox.errors import InputError
from sandbox.models.lm import LanguageModel
from sandbox.probes.attention import AttentionSummary, implicit_attention_of_layers, summarize_attention
from sandbox.probes.half_lives import half_lives_of_layers
from sandbox.probes.linear_probe import held_answers
from sandbox.probes.memory import Memory, effective_rank, interference, memories, singular_values, writes
from sandbox.probes.recall import (
    NOWHERE,
    accuracy_by,
    first_tests,
    part_of,
    questions,
    right_answers,
    right_at_once,
    sources,
)
from sandbox.probes.trained import TrainedModel
from sandbox.tasks.task import Example, on_each
from sandbox.train.evaluation import EVALUATION_BATCH

DIFFICULTIES = ("distance", "pairs_since", "overwrites")


class Look(NamedTuple):
    """What was seen; layers are numbered from 0."""

    weights: pd.DataFrame
    """The implicit attention over the first sequence: `layer`, `query`, `token`, `weight`."""
    tokens: list[str]
    """That sequence in words."""
    asked: list[tuple[int, int]]
    """The position of each of its questions, and that of the answer."""
    summaries: dict[int, AttentionSummary]
    """Of the implicit attention of each layer, over all sequences."""
    half_lives: dict[int, np.ndarray]
    """Of each layer that has decays, over all sequences."""
    captured: float
    """Share of the questions that are answered right when they are asked at once; nan if no answer was shown."""
    kept: float
    """Share of these that are still answered right at their own place."""
    recall: dict[str, pd.DataFrame]
    """Accuracy by each of `DIFFICULTIES`."""
    chance: float
    """The accuracy of guessing, averaged over the sequences."""
    held: pd.DataFrame
    """Answers that a linear probe finds in the memories (`held_answers`)."""
    ranks: pd.DataFrame
    """Effective rank of the memories, averaged over sequences and heads: `layer`, `position`, `rank`."""
    rows: dict[int, int]
    """Rows of a head's memory, by layer."""
    singular_values: pd.DataFrame
    """Their singular values, averaged likewise: `layer`, `position`, `number` from 1, `value`."""
    writes: pd.DataFrame
    """What each token of the first sequence changes (`writes`), with its `layer`."""
    alike: pd.DataFrame
    """Cosines between its keys, averaged over heads without their sign: `layer`, `token`, `other`, `cosine`."""


def look_inside(trained: TrainedModel, sequences: int = 16) -> Look:
    """Looks at the first test sequences: `sequences` of them, but recall at a whole batch.

    Raises InputError for more sequences than a batch has.
    """
    if sequences > EVALUATION_BATCH:
        raise InputError(f"{sequences} sequences: a batch of tests has {EVALUATION_BATCH}")
    model, task = trained.model, trained.task
    batch = first_tests(task)
    found, few = sources(task, batch), part_of(batch, 0, sequences)
    answers = questions(batch, found, right_answers(model, batch), right_at_once(model, batch, found))
    held = memories(model, few.tokens)
    weights, summaries = _attention(model, few, found[:sequences])
    return Look(
        weights=weights,
        tokens=[task.describe_token(int(token)).name for token in few.tokens[0]],
        asked=[(int(few.positions[0, i]), int(found[0, i])) for i in np.flatnonzero(found[0] != NOWHERE)],
        summaries=summaries,
        half_lives=half_lives_of_layers(model, few.tokens),
        captured=float(answers["at_once"].mean()) if len(answers) else math.nan,
        kept=float(answers["right"][answers["at_once"]].mean()) if len(answers) else math.nan,
        recall={column: accuracy_by(answers, column) for column in DIFFICULTIES} if len(answers) else {},
        chance=float(on_each(task.chance, batch.slices).mean()),
        held=held_answers(model, task),
        ranks=_of_layers(held, _ranks),
        rows={layer: memory.keys.shape[-1] for layer, memory in held.items()},
        singular_values=_of_layers(held, _singular_values),
        writes=_of_layers(held, lambda memory: writes(_first(memory))),
        alike=_of_layers(held, _alike),
    )


def _attention(
    model: LanguageModel, batch: Example, found: Int[np.ndarray, "B M"]
) -> tuple[pd.DataFrame, dict[int, AttentionSummary]]:
    """The weights of the first sequence, and the summaries of all: one after the other, as matrices are large."""
    tables: list[pd.DataFrame] = []
    parts: dict[int, list[AttentionSummary]] = {}
    counts = (found != NOWHERE).sum(axis=1)
    for number in range(len(found)):
        one, here = part_of(batch, number, number + 1), jnp.asarray(found[[number]])
        for layer, matrix in implicit_attention_of_layers(model, one.tokens).items():
            if number == 0:
                tables.append(_weights(layer, matrix))
            if counts[number]:
                asked = (here != NOWHERE).astype(jnp.float32)
                summary = summarize_attention(matrix, one.positions, jnp.maximum(here, 0), asked)
                parts.setdefault(layer, []).append(summary)
    summaries = {
        layer: AttentionSummary(*np.average(of_layer, axis=0, weights=counts[counts > 0]).tolist())
        for layer, of_layer in parts.items()
    }
    return _together(tables, ["layer", "query", "token", "weight"]), summaries


def _weights(layer: int, matrix: Array) -> pd.DataFrame:
    """The rows of one sequence, each with weights whose absolute values sum to one, averaged over heads."""
    first = np.real(np.asarray(matrix[0]))
    first = first.reshape(*first.shape[:2], -1)
    total = np.abs(first).sum(axis=1, keepdims=True)
    share = (first / np.where(total > 0, total, 1)).mean(axis=-1)
    query, token = np.indices(share.shape)
    columns = {"layer": layer, "query": query.ravel(), "token": token.ravel(), "weight": share.ravel()}
    return pd.DataFrame(columns)


def _of_layers(held: dict[int, Memory], table: Callable[[Memory], pd.DataFrame]) -> pd.DataFrame:
    """The table of each layer's memory, below each other, with the column `layer`."""
    return _together([table(memory).assign(layer=layer) for layer, memory in held.items()], ["layer"])


def _first(memory: Memory) -> Memory:
    """Of the first sequence."""
    return Memory(memory.matrices[:, :1], memory.queries[:1], memory.keys[:1])


def _ranks(memory: Memory) -> pd.DataFrame:
    ranks = effective_rank(memory.matrices).mean(axis=(1, 2))
    return pd.DataFrame({"position": np.arange(len(ranks)), "rank": ranks})


def _singular_values(memory: Memory) -> pd.DataFrame:
    values = singular_values(memory.matrices).mean(axis=(1, 2))
    position, number = np.indices(values.shape)
    return pd.DataFrame({"position": position.ravel(), "number": number.ravel() + 1, "value": values.ravel()})


def _alike(memory: Memory) -> pd.DataFrame:
    cosines = np.abs(interference(memory.keys[:1])[0]).mean(axis=0)
    token, other = np.indices(cosines.shape)
    return pd.DataFrame({"token": token.ravel(), "other": other.ravel(), "cosine": cosines.ravel()})


def _together(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
