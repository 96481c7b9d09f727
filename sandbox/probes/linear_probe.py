"""A linear probe of a memory: is an answer in it right after it was written, and still there when it is asked?"""

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from sandbox.models.lm import LanguageModel
from sandbox.probes.memory import memories, of_length_one
from sandbox.probes.recall import NOWHERE, part_of
from sandbox.tasks.task import Example

STAGES = 9
"""Points in time between answer and question at which the memory is probed."""

_AT_ONCE = 16  # sequences whose memories are held at once
_RIDGE = 1e-3  # of the mean square of what is read


def held_answers(model: LanguageModel, batch: Example, found: Int[np.ndarray, "B M"]) -> pd.DataFrame:
    """The share of answers that a linear probe finds in each memory, from their writing until they are asked.

    A question at token t, whose answer was written at token s, is asked of the memory S after token s + w (t - s):
    what it would read there is Sᵀq_t for each head, with its own query. A ridge regression from this, each head
    scaled to length one, to the embedding of the answer is fitted on every other sequence, and scored on the rest:
    right is an embedding nearer to the answer's than to that of any other answer of the batch. Every w and layer
    has a regression of its own.

    Args:
        model: layers without a matrix memory (see `memories`) are left out.
        batch: the sequences.
        found: where each answer is written, as `sandbox.probes.recall.sources` finds it.

    Returns the columns `layer`, `way` (w, from 0 to 1), `accuracy`, `error` (its standard error), `questions`.
    """
    asked = np.argwhere((np.asarray(batch.weights) > 0) & (found != NOWHERE))
    if not len(asked):
        return pd.DataFrame(columns=["layer", "way", "accuracy", "error", "questions"])
    read: dict[int, list[np.ndarray]] = {}
    for start in range(0, len(found), _AT_ONCE):
        few = part_of(batch, start, start + _AT_ONCE)
        here = asked[(asked[:, 0] >= start) & (asked[:, 0] < start + _AT_ONCE)] - [start, 0]
        for layer, values in _read(model, few, found[start : start + _AT_ONCE], here).items():
            read.setdefault(layer, []).append(values)
    answers = np.asarray(batch.targets)[tuple(asked.T)]
    embeddings = np.asarray(model.embedding.get_value())
    rows = []
    for layer, parts in read.items():
        for way, values in zip(np.linspace(0, 1, STAGES), np.concatenate(parts, axis=1), strict=True):
            right = probe(values, embeddings, answers, asked[:, 0] % 2 == 0)
            error = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
            rows.append((layer, way, right.mean(), error, len(right)))
    return pd.DataFrame(rows, columns=["layer", "way", "accuracy", "error", "questions"])


def _read(
    model: LanguageModel, batch: Example, found: Int[np.ndarray, "B M"], asked: Int[np.ndarray, "Q 2"]
) -> dict[int, Float[np.ndarray, "S Q F"]]:
    """What each question would read at each stage from the memory of each layer."""
    sequence, question = asked.T
    positions = np.asarray(batch.positions)[sequence, question]
    since = positions - found[sequence, question]
    moments = [positions - since + np.rint(way * since).astype(int) for way in np.linspace(0, 1, STAGES)]
    read = {}
    for layer, memory in memories(model, batch.tokens).items():
        query = memory.queries[sequence, positions]
        heads = [np.einsum("qhkv,qhk->qhv", memory.matrices[moment, sequence], query) for moment in moments]
        read[layer] = np.stack([of_length_one(of_stage).reshape(len(asked), -1) for of_stage in heads])
    return read


def probe(
    read: Float[np.ndarray, "Q F"],
    embeddings: Float[np.ndarray, "N D"],
    answers: Int[np.ndarray, "Q"],
    fitted: np.ndarray,
) -> np.ndarray:
    """Whether a ridge regression, fitted where `fitted` is true, finds each of the other answers."""
    x = np.concatenate([read, np.ones((len(read), 1))], axis=1).astype(float)
    y = embeddings[answers].astype(float)
    gram = x[fitted].T @ x[fitted]
    ridge = _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge, x[fitted].T @ y[fitted])
    candidates = np.unique(answers)
    predicted, there = x[~fitted] @ weights, embeddings[candidates]
    distances = np.square(there).sum(-1) - 2 * predicted @ there.T
    return candidates[distances.argmin(axis=1)] == answers[~fitted]
