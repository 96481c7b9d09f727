"""What makes a question hard: every answer of a model, with how far back and under how much else it lies."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from sandbox.models.lm import LanguageModel
from sandbox.tasks import TaskConfig
from sandbox.tasks.streams import Split
from sandbox.tasks.task import Example
from sandbox.train.evaluation import draw_evaluation

NOWHERE = -1
"""The source of an answer that no earlier token shows."""


def first_tests(task: TaskConfig) -> Example:
    """The first examples that models of this task are tested on."""
    return draw_evaluation(task, Split.TEST, 0)


def sources(batch: Example) -> Int[np.ndarray, "B M"]:
    """The last position before each question at which its answer stands; `NOWHERE` for an answer seen nowhere."""
    tokens, positions = np.asarray(batch.tokens), np.asarray(batch.positions)
    shows = tokens[:, None, :] == np.asarray(batch.targets)[:, :, None]
    shows &= np.arange(tokens.shape[1]) < positions[:, :, None]
    last = tokens.shape[1] - 1 - np.argmax(shows[:, :, ::-1], axis=2)
    return np.where(shows.any(axis=2), last, NOWHERE)


def right_answers(model: LanguageModel, batch: Example) -> Bool[np.ndarray, "B M"]:
    """Whether the model's answer to each question is the right one."""
    return np.asarray(jnp.argmax(model(batch.tokens, batch.positions), axis=-1) == batch.targets)


def right_at_once(model: LanguageModel, batch: Example) -> Bool[np.ndarray, "B M"]:
    """Whether the model answers each question right if it comes right after its answer was seen, and nothing else.

    What is answered at once and not later was captured and then lost; what is not even answered at once was never
    captured, or cannot be read.
    """
    found, length = np.maximum(sources(batch), 0), batch.tokens.shape[1]
    tokens, positions = np.asarray(batch.tokens), np.asarray(batch.positions)
    right = np.zeros(found.shape, bool)
    for question in range(found.shape[1]):
        asked = np.take_along_axis(tokens, positions[:, [question]], axis=1)
        source = found[:, [question]]
        place = np.arange(length + 1)
        cut = np.where(place <= source, np.pad(tokens, ((0, 0), (0, 1))), np.where(place == source + 1, asked, 0))
        logits = model(jnp.asarray(cut, batch.tokens.dtype), jnp.asarray(source + 1))
        right[:, question] = (
            np.asarray(jnp.argmax(logits[:, 0], axis=-1)) == np.asarray(batch.targets)[:, question]
        )
    return right


def questions(
    batch: Example, right: Bool[np.ndarray, "B M"], at_once: Bool[np.ndarray, "B M"] | None = None
) -> pd.DataFrame:
    """A row per question of these sequences: whether it was answered right, and what makes it hard.

    `distance` is the number of tokens since the answer was last seen; `pairs_since` the number of different
    answers to other questions that were seen in between, for a task of pairs the pairs written since; `overwrites`
    how often the token of the question stood before something else earlier. Questions whose answer no earlier
    token shows are left out. `at_once` is that of `right_at_once`, if it is given.
    """
    asked = np.asarray(batch.weights) > 0
    tokens, positions, found = np.asarray(batch.tokens), np.asarray(batch.positions), sources(batch)
    answers = {int(target) for target in np.asarray(batch.targets)[asked]}
    rows = []
    for sequence, question in np.argwhere(asked & (found != NOWHERE)):
        position, source = positions[sequence, question], found[sequence, question]
        between = tokens[sequence, source + 1 : position]
        followed = tokens[sequence, : source - 1] == tokens[sequence, position]
        rows.append(
            {
                "sequence": int(sequence),
                "position": int(position),
                "distance": int(position - source),
                "pairs_since": len(answers & {int(token) for token in between}),
                "overwrites": int(followed.sum()) if source > 0 else 0,
                "right": bool(right[sequence, question]),
                **({} if at_once is None else {"at_once": bool(at_once[sequence, question])}),
                **{name: int(value[sequence]) for name, value in batch.slices.items()},
            }
        )
    return pd.DataFrame(rows)


def accuracy_by(answers: pd.DataFrame, column: str, most_bins: int = 12) -> pd.DataFrame:
    """Accuracy with its standard error in bins of a column, each of about equally many questions.

    The column `at_once` is the share that is right when asked at once, if the answers have it.
    """
    values = answers[column]
    if values.nunique() > most_bins:
        bins = pd.qcut(values, most_bins, duplicates="drop")
        middle = values.groupby(bins, observed=True).transform("median")
    else:
        middle = values
    grouped = answers["right"].astype(float).groupby(middle)
    table = pd.DataFrame({"accuracy": grouped.mean(), "questions": grouped.size()}).reset_index(names=column)
    share = table["accuracy"]
    table["error"] = np.sqrt(share * (1 - share) / table["questions"])
    if "at_once" in answers:
        table["at_once"] = answers["at_once"].astype(float).groupby(middle).mean().to_numpy()
    return table
