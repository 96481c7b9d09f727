"""Accuracy averaged over classes is that of torchmetrics, which MAD reports."""

import numpy as np
import pytest

from sandbox.config import Config
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.run import run
from sandbox.tasks import TASKS
from sandbox.tasks.streams import Split
from sandbox.train.config import TrainConfig
from sandbox.train.evaluation import EvaluationSet
from sandbox.train.macro_accuracy import Answers, macro_accuracy
from sandbox.train.population import init_population
from sandbox.train.step import Problem

ALL = np.array([True, True])


def test_each_class_counts_once_however_often_it_is_asked():
    targets = np.array([[1, 1, 1], [1, 2, 0]])
    scored = np.array([[True, True, True], [True, True, False]])
    given = np.array([[[1, 1, 1], [5, 2, 0]], [[1, 1, 1], [1, 1, 7]]])
    # First: 3 of 4 ones, the two, and 5, which is never right. Second: all ones, not the two.
    np.testing.assert_allclose(macro_accuracy(Answers(given, targets, scored), ALL), [(0.75 + 1 + 0) / 3, 0.5])
    only_second = np.array([False, True])
    np.testing.assert_allclose(macro_accuracy(Answers(given, targets, scored), only_second), [1 / 3, 0.5])


def test_where_no_answer_is_due_there_is_none():
    nothing = Answers(np.zeros((1, 2, 3), int), np.zeros((2, 3), int), np.zeros((2, 3), bool))
    assert np.isnan(macro_accuracy(nothing, ALL)).all()


@pytest.mark.parametrize("split", [Split.TEST, Split.VALIDATION])
def test_sets_of_several_lengths_are_put_together(split):
    """Test sets of one length each, and validation data in which lengths are mixed."""
    task = TASKS["copy"](min_length=2, max_length=5, alphabet_size=3, test_lengths=[3, 9])
    problem = Problem(
        ModelConfig(d_model=8, embedding_std=1.0), MIXERS["outer"](d_state=4), task, TrainConfig(num_seeds=2)
    )
    examples = EvaluationSet(task, split, 20)
    params = init_population(problem, 0, [1e-3]).params
    answers, scores = examples.answers(problem, params), examples.score(problem, params)
    right = (answers.given == answers.targets) & answers.scored
    assert scores.accuracy.any(), "an untrained model hits some"
    np.testing.assert_allclose(right.sum(axis=2) / answers.scored.sum(axis=1), scores.accuracy, atol=1e-6)


@pytest.mark.slow
def test_records_have_it_for_the_selected_rate_on_test_data(tmp_path):
    train = TrainConfig(
        steps=2,
        learning_rates=[1e-3, 1e-2],
        test_examples=20,
        validation_examples=20,
        macro_accuracy=True,
    )
    task = TASKS["mqar"](vocab_size=16, length=16, pairs=[1, 2])
    config = Config(MIXERS["outer"](d_state=4), task, ModelConfig(d_model=8), train, output_dir=str(tmp_path))
    for record in run(config):
        assert np.isnan(record.macro_accuracy) != (record.split == "test" and record.selected)


def test_a_task_with_several_right_answers_is_refused():
    with pytest.raises(ValueError, match=r"train.macro_accuracy=true needs a task with one right answer .* icll"):
        Config(MIXERS["outer"](), TASKS["icll"](), train=TrainConfig(macro_accuracy=True))
