"""Each question knows how far its answer lies back, and how many pairs were written since."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from sandbox.models.lm import LanguageModel
from sandbox.probes.recall import accuracy_by, first_tests, questions, right_at_once, sources
from sandbox.tasks import TASKS
from sandbox.tasks.task import Example

BATCH = Example(  # two pairs, one of them written again, and both asked for; then a sequence with one question
    tokens=jnp.array([[1, 11, 2, 12, 1, 13, 0, 1, 2], [3, 14, 0, 0, 3, 0, 0, 0, 0]]),
    positions=jnp.array([[7, 8], [4, 0]]),
    targets=jnp.array([[13, 12], [14, 0]]),
    weights=jnp.array([[1.0, 1.0], [1.0, 0.0]]),
    slices={"pairs": jnp.array([2, 1])},
)


def test_questions_of_a_batch():
    np.testing.assert_array_equal(sources(BATCH), [[5, 3], [1, -1]])
    table = questions(BATCH, np.array([[True, False], [True, False]]))
    assert table.to_dict("list") == {
        "sequence": [0, 0, 1],
        "position": [7, 8, 4],
        "distance": [2, 5, 3],
        "pairs_since": [0, 1, 0],
        "overwrites": [1, 0, 0],
        "right": [True, False, True],
        "pairs": [2, 2, 1],
    }


def test_asked_at_once_the_sequence_ends_with_the_question():
    class Reads(LanguageModel):
        """Answers with the token before the last: the value of the pair that was just written."""

        def __init__(self):
            pass

        def __call__(self, tokens, positions=None):
            return jax.nn.one_hot(jnp.take_along_axis(tokens, positions - 1, axis=1), 16)

    np.testing.assert_array_equal(right_at_once(Reads(), BATCH), [[True, True], [True, False]])


def test_every_question_of_a_recall_task_has_a_source():
    for name in ("mqar", "forgetting", "needle", "compositional"):
        batch = first_tests(TASKS[name]())
        assert (sources(batch)[np.asarray(batch.weights) > 0] >= 0).all(), name


def test_accuracy_in_bins_counts_every_question_once():
    answers = pd.DataFrame({"distance": np.arange(100), "right": np.arange(100) < 50})
    table = accuracy_by(answers, "distance", most_bins=4)
    assert table["questions"].tolist() == [25] * 4
    assert table["accuracy"].tolist() == [1, 1, 0, 0]
    assert accuracy_by(answers, "right")["questions"].sum() == 100
