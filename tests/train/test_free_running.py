"""Models that read their own answers are scored as if they had written the sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.config import Config
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.results import STATUS_OK
from sandbox.run import run
from sandbox.tasks import TASKS
from sandbox.tasks.streams import Split, sample_batch
from sandbox.train.config import TrainConfig
from sandbox.train.free_running import free_running
from sandbox.train.step import Problem, score

TASK = TASKS["copy"](min_length=2, max_length=5, alphabet_size=6)


def written_by(model, batch):
    """The answers of a model that appends each of them to the prompt, by one full forward pass per token."""
    answers = np.array(batch.targets)
    for i, prompt_end in enumerate(np.array(batch.positions[:, 0])):
        written = list(np.array(batch.tokens[i, : prompt_end + 1]))
        for question in range(int(batch.weights[i].sum())):
            logits = model(jnp.array([written]))
            answers[i, question] = int(jnp.argmax(logits[0, -1]))
            written.append(answers[i, question])
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ["softmax", "gla"])
def test_each_answer_that_the_model_gave_is_read_in_place_of_the_right_one(mixer):
    problem = Problem(ModelConfig(d_model=8, embedding_std=1.0), MIXERS[mixer](), TASK, TrainConfig())
    model = problem.make_model(jax.random.key(3))
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    batch = sample_batch(TASK, jax.random.key(1), Split.TEST, 0, 12)
    own = written_by(model, batch)
    assert (own != batch.targets)[batch.weights > 0].any()
    as_written = batch._replace(targets=jnp.array(own))
    test = jax.jit(free_running, static_argnums=0)
    np.testing.assert_array_equal(test(problem, as_written, params), np.ones(12))
    assert not jax.jit(score, static_argnums=0)(problem, as_written, params).exact.all()  # reads the right letters
    last = np.arange(12), np.array(batch.weights.sum(axis=1), int) - 1
    wrong_at_the_end = batch._replace(targets=jnp.array(own).at[last].add(1))
    np.testing.assert_array_equal(test(problem, wrong_at_the_end, params), np.zeros(12))


@pytest.mark.slow
def test_records_have_it_for_the_selected_rate_on_test_data(tmp_path):
    train = TrainConfig(
        steps=2,
        num_seeds=2,
        learning_rates=[1e-3, 1e-2],
        test_examples=20,
        validation_examples=20,
        free_running=True,
    )
    config = Config(MIXERS["outer"](d_state=4), TASK, ModelConfig(d_model=8), train, output_dir=str(tmp_path))
    records = run(config)
    assert {record.status for record in records} == {STATUS_OK}
    for record in records:
        given = record.split == "test" and record.selected
        assert np.isnan(record.free_running) != given
        assert not given or record.free_running <= 1


def test_a_task_without_shown_answers_is_refused():
    with pytest.raises(ValueError, match=r"train.free_running=true needs a task .*copy.*and mqar does not"):
        Config(MIXERS["outer"](), TASKS["mqar"](), train=TrainConfig(free_running=True))
