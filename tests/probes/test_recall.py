"""Each question knows how far its answer lies back, and how many pairs were written since."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from sandbox.models.lm import LanguageModel
from sandbox.probes.recall import accuracy_by, first_tests, questions, right_answers, right_at_once, sources
from sandbox.tasks import TASKS
from sandbox.tasks.parts.filler import Filler
from sandbox.tasks.task import Example

BATCH = Example(  # two pairs, one of them written again, and both asked for; then a sequence with one question
    tokens=jnp.array([[1, 11, 2, 12, 1, 13, 0, 1, 2], [3, 14, 0, 0, 3, 0, 0, 0, 0]]),
    positions=jnp.array([[7, 8], [4, 0]]),
    targets=jnp.array([[13, 12], [14, 0]]),
    weights=jnp.array([[1.0, 1.0], [1.0, 0.0]]),
    slices={"pairs": jnp.array([2, 1])},
)


PAIRS = TASKS["mqar"]()


def test_questions_of_a_batch():
    found = sources(PAIRS, BATCH)
    np.testing.assert_array_equal(found, [[5, 3], [1, -1]])
    right = np.array([[True, False], [True, False]])
    assert questions(BATCH, found, right, ~right).to_dict("list") == {
        "sequence": [0, 0, 1],
        "position": [7, 8, 4],
        "distance": [2, 5, 3],
        "pairs_since": [0, 1, 0],
        "overwrites": [1, 0, 0],
        "right": [True, False, True],
        "at_once": [False, True, False],
        "pairs": [2, 2, 1],
    }


class ReadsBack(LanguageModel):
    """Answers with the token before: the value of the pair that was just written."""

    def __init__(self):
        pass

    def __call__(self, tokens, positions=None):
        return jax.nn.one_hot(jnp.take_along_axis(tokens, positions - 1, axis=1), 16)


def test_asked_at_once_the_sequence_ends_with_the_question():
    found = sources(PAIRS, BATCH)
    np.testing.assert_array_equal(right_at_once(ReadsBack(), BATCH, found), [[True, True], [True, False]])


def test_where_several_tokens_are_legal_each_of_them_is_right():
    legal = jnp.zeros((2, 2, 16), bool).at[0, 0, 0].set(True)  # what ReadsBack answers there
    np.testing.assert_array_equal(right_answers(ReadsBack(), BATCH._replace(legal=legal))[0], [True, False])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mqar", {}),
        ("mqar", {"filler": Filler.random}),
        ("forgetting", {}),
        ("needle", {"distractors": 2}),
        ("ar", {}),
        ("noisy", {}),
        ("compositional", {}),
    ],
)
def test_an_answer_follows_its_key_wherever_else_its_token_stands(name, options):
    task = TASKS[name](**options)
    batch = first_tests(task)
    found, tokens = sources(task, batch), np.asarray(batch.tokens)
    asked = np.asarray(batch.weights) > 0
    assert (found[asked] >= 0).all()
    rows = np.arange(len(tokens))[:, None]
    assert (tokens[rows, found] == batch.targets)[asked].all()
    for before in range(1, 1 + getattr(task, "query_size", 1)):
        key = np.take_along_axis(tokens, np.asarray(batch.positions) - before + 1, axis=1)
        assert (tokens[rows, found - before] == key)[asked].all()


def test_letters_of_a_string_are_found_by_what_stands_before_them():
    task = TASKS["copy"]()
    batch = first_tests(task)
    found = sources(task, batch)
    lengths = np.asarray(batch.slices["length"])
    after_the_first = [found[i, j] == j + 1 for i in range(len(found)) for j in range(1, lengths[i])]
    assert np.mean(after_the_first) > 0.99


@pytest.mark.parametrize("name", ["parity", "word_problem", "selective_copy", "reverse", "memorization", "icll"])
def test_a_task_whose_answers_follow_nothing_has_no_sources(name):
    task = TASKS[name]()
    assert (sources(task, first_tests(task)) == -1).all()


def test_accuracy_in_bins_counts_every_question_once():
    right = np.arange(100) < 50
    answers = pd.DataFrame({"distance": np.arange(100), "right": right, "at_once": True})
    table = accuracy_by(answers, "distance", most_bins=4)
    assert table["questions"].tolist() == [25] * 4
    assert table["accuracy"].tolist() == [1, 1, 0, 0]
    assert table["at_once"].tolist() == [1, 1, 1, 1]
