"""What makes a question hard: every answer of a model, with how far back and under how much else it lies."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx
from jaxtyping import Array, Bool, Int

from sandbox.models.lm import LanguageModel
from sandbox.tasks import TaskConfig
from sandbox.tasks.streams import Split
from sandbox.tasks.task import Example
from sandbox.train.evaluation import draw_evaluation
from sandbox.train.step import are_right

NOWHERE = -1
"""The source of an answer that no earlier token gives."""

_LOOK_BACK = 16  # tokens before an answer that are compared with those before its question


def first_tests(task: TaskConfig) -> Example:
    """The first examples that models of this task are tested on."""
    return draw_evaluation(task, Split.TEST, 0)


def part_of(batch: Example, start: int, stop: int) -> Example:
    """Sequences `start` to `stop - 1` of a batch."""
    return jax.tree.map(lambda leaf: leaf[start:stop], batch)


def sources(task: TaskConfig, batch: Example) -> Int[np.ndarray, "B M"]:
    """Where the answer to each question is written: an earlier token, or `NOWHERE`.

    An answer is written where its token follows the token of the question, as a value follows its key and a letter
    of a string the letters before it. Of several such places it is the one before which the most tokens are those
    before the question, and of these the last. `NOWHERE` for tasks whose answers do not follow their questions
    (`TaskConfig.answers_follow`), such as parity.
    """
    tokens, positions = np.asarray(batch.tokens), np.asarray(batch.positions)
    found = np.full(positions.shape, NOWHERE)
    if not task.answers_follow:
        return found
    for sequence, question in np.argwhere(np.asarray(batch.weights) > 0):
        row, position = tokens[sequence], positions[sequence, question]
        places = np.flatnonzero(row[:position] == batch.targets[sequence, question])
        alike = [_tokens_alike(row, int(place) - 1, int(position)) for place in places]
        if alike and max(alike) > 0:
            found[sequence, question] = max(zip(alike, places, strict=True))[1]
    return found


def _tokens_alike(row: Int[np.ndarray, "T"], place: int, position: int) -> int:
    """How many tokens up to `place` are those up to `position`, `_LOOK_BACK` at most."""
    count = 0
    while count < min(_LOOK_BACK, place + 1) and row[place - count] == row[position - count]:
        count += 1
    return count


def right_answers(model: LanguageModel, batch: Example) -> Bool[np.ndarray, "B M"]:
    """Whether the model's answer to each question is right, or one of the right ones where there are several."""
    return np.asarray(are_right(_answers(model, batch.tokens, batch.positions), batch))


def right_at_once(model: LanguageModel, batch: Example, found: Int[np.ndarray, "B M"]) -> Bool[np.ndarray, "B M"]:
    """Whether the model answers each question right if it comes right after its answer, at `found`, was written.

    What is answered at once and not later was captured and then lost; what is not even answered at once was never
    captured, or cannot be read so early. False for questions whose answer is written nowhere.
    """
    tokens, positions = np.asarray(batch.tokens), np.asarray(batch.positions)
    place, right = np.arange(tokens.shape[1]), np.zeros(found.shape, bool)
    for question in range(found.shape[1]):
        asked, source = positions[:, [question]], np.maximum(found[:, [question]], 0)
        repeated = np.take_along_axis(tokens, asked, axis=1)
        cut = np.where(place <= source, tokens, np.where(place == source + 1, repeated, 0))
        ahead = np.minimum(source + 1, tokens.shape[1] - 1)
        answers = _answers(model, jnp.asarray(cut, batch.tokens.dtype), jnp.asarray(ahead, batch.positions.dtype))
        right[:, question] = np.asarray(answers[:, 0] == batch.targets[:, question])
    return right & (found != NOWHERE)


@nnx.jit
def _answers(model: LanguageModel, tokens: Int[Array, "B T"], positions: Int[Array, "B M"]) -> Int[Array, "B M"]:
    return jnp.argmax(model(tokens, positions), axis=-1)


def questions(
    batch: Example,
    found: Int[np.ndarray, "B M"],
    right: Bool[np.ndarray, "B M"],
    at_once: Bool[np.ndarray, "B M"],
) -> pd.DataFrame:
    """A row per question whose answer is written at `found`: whether it is answered right, and what makes it hard.

    `at_once` is that of `right_at_once`. `distance` is the number of tokens since the answer was written;
    `pairs_since` the number of different answers to other questions among these, for a task of pairs the pairs
    written since; `overwrites` how often the token of the question stood before another one earlier.
    """
    asked = np.asarray(batch.weights) > 0
    tokens, positions = np.asarray(batch.tokens), np.asarray(batch.positions)
    answers = {int(target) for target in np.asarray(batch.targets)[asked]}
    rows = []
    for sequence, question in np.argwhere(asked & (found != NOWHERE)):
        position, source = positions[sequence, question], found[sequence, question]
        between = tokens[sequence, source + 1 : position]
        followed = tokens[sequence, : max(source - 1, 0)] == tokens[sequence, position]
        rows.append(
            {
                "sequence": int(sequence),
                "position": int(position),
                "distance": int(position - source),
                "pairs_since": len(answers & {int(token) for token in between}),
                "overwrites": int(followed.sum()),
                "right": bool(right[sequence, question]),
                "at_once": bool(at_once[sequence, question]),
                **{name: int(value[sequence]) for name, value in batch.slices.items()},
            }
        )
    return pd.DataFrame(rows)


def accuracy_by(answers: pd.DataFrame, column: str, most_bins: int = 12) -> pd.DataFrame:
    """Accuracy with its standard error in bins of a column of `questions`, each of about equally many of them.

    The column `at_once` is the share that is right when asked at once.
    """
    values = answers[column]
    if values.nunique() > most_bins:
        bins = pd.qcut(values, most_bins, duplicates="drop")
        middle = values.groupby(bins, observed=True).transform("median")
    else:
        middle = values
    scores = answers[["right", "at_once"]].astype(float).groupby(middle)
    table = scores.mean().rename(columns={"right": "accuracy"}).assign(questions=scores.size())
    table["error"] = np.sqrt(table["accuracy"] * (1 - table["accuracy"]) / table["questions"])
    return table.reset_index(names=column)
