"""What is trained on and what is scored: answers or all tokens, whole sequences, several right tokens, lengths."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.tasks import TASKS
from sandbox.tasks.mqar import MQARConfig
from sandbox.tasks.streams import Split, sample_batch
from sandbox.tasks.task import Example
from sandbox.train.config import Loss, TrainConfig
from sandbox.train.evaluation import EvaluationSet
from sandbox.train.step import Problem, init_member, position_scores, score, scored_everywhere, train_step

BATCH = Example(
    tokens=jnp.array([[1, 6, 2, 7, 1, 0], [3, 8, 0, 3, 0, 0]]),
    positions=jnp.array([[4, 2], [3, 0]]),
    targets=jnp.array([[6, 9], [8, 0]]),
    weights=jnp.array([[1.0, 1.0], [1.0, 0.0]]),
    slices={},
)


class Says(Problem):
    """Answers the same tokens whatever its parameters are."""

    def apply(self, params, batch):
        return jax.nn.one_hot(params, 10)


def says(answers, batch):
    problem = Says(ModelConfig(), MIXERS["outer"](), TASKS["mqar"](), TrainConfig())
    return jax.jit(score, static_argnums=0)(problem, batch, jnp.array(answers))


def test_a_sequence_is_exact_when_all_its_answers_are_right():
    scores = says([[6, 0], [8, 5]], BATCH)
    np.testing.assert_allclose(scores.accuracy, [0.5, 1.0])
    np.testing.assert_allclose(scores.exact, [0.0, 1.0])


def test_where_several_tokens_are_legal_each_of_them_is_right():
    legal = jnp.zeros((2, 2, 10), bool).at[:, :, 4].set(True).at[:, :, 6].set(True)
    scores = says([[6, 4], [8, 5]], BATCH._replace(legal=legal))
    np.testing.assert_allclose(scores.accuracy, [1.0, 0.0])


def test_the_loss_over_all_tokens_has_answers_where_they_are_due():
    everywhere = jax.jit(scored_everywhere)(BATCH)
    np.testing.assert_array_equal(everywhere.positions, np.tile(np.arange(6), (2, 1)))
    np.testing.assert_array_equal(everywhere.targets[:, :-1], [[6, 2, 9, 1, 6], [8, 0, 3, 8, 0]])
    np.testing.assert_array_equal(everywhere.weights, [[1, 1, 1, 1, 1, 0]] * 2)


@dataclasses.dataclass(unsafe_hash=True)
class TestedLonger(MQARConfig):
    """Trained on 16 tokens, tested on 16 and 40."""

    __test__ = False

    def test_tasks(self):
        return tuple(dataclasses.replace(self, length=length) for length in (16, 40))


TASK = TestedLonger(length=16, pairs=2, vocab_size=16)


def problem_with(**train):
    return Problem(ModelConfig(d_model=8), MIXERS["outer"](d_state=4), TASK, TrainConfig(**train))


@pytest.mark.slow(seconds=6)
def test_training_is_on_answers_or_on_all_tokens():
    batch = jax.jit(sample_batch, static_argnums=(0, 2, 4))(TASK, jax.random.key(1), Split.TRAIN, 0, 4)
    member = init_member(problem_with(), jnp.float32(1e-3), jnp.int32(0))
    for loss in Loss:
        problem = problem_with(loss=loss)
        learned = jax.jit(scored_everywhere)(batch) if loss is Loss.all else batch
        losses, _ = jax.jit(position_scores, static_argnums=0)(problem, member.params, learned)
        _, reported = jax.jit(train_step, static_argnums=0)(problem, member, 0, batch)
        assert reported == pytest.approx(np.average(losses, weights=learned.weights), rel=1e-5)


@pytest.mark.slow
def test_longer_tests_are_slices_of_their_own():
    problem = problem_with()
    params = nnx.to_pure_dict(nnx.state(problem.make_model(jax.random.key(0))))
    test = EvaluationSet(TASK, Split.TEST, 300)
    assert {name: mask.sum() for name, mask in test.slices.items()} == {
        "all": 600,
        "length=16": 300,
        "length=40": 300,
    }
    scores = test.score(problem, jax.tree.map(lambda leaf: leaf[None], params))
    assert scores.loss.shape == (1, 600)
    assert EvaluationSet(TASK, Split.VALIDATION, 300).slices.keys() == {"all"}
