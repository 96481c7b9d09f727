"""What a linear probe finds in what a layer gives when it is asked early."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.probes.attention import mixer_inputs
from sandbox.probes.linear_probe import STAGES, _asked_at, held_answers, probe
from sandbox.tasks import TASKS


@pytest.fixture
def classes():
    """Answers, and a vector for each of which they are a linear image, whatever its length."""
    rng = np.random.default_rng(0)
    answers = rng.integers(0, 40, 1200)
    means = rng.normal(size=(40, 12)) * rng.uniform(0.3, 3, size=(40, 1))
    return means[answers], answers


def found(outputs, answers):
    return probe(outputs[:900], answers[:900], outputs[900:], answers[900:])


def test_a_probe_finds_what_a_line_separates_and_nothing_in_noise(classes):
    means, answers = classes
    noise = np.random.default_rng(1).normal(size=means.shape)
    assert found(means + 0.05 * noise, answers).mean() > 0.97
    assert found(means + noise, answers).mean() < 0.9
    assert found(noise, answers).mean() < 0.1


def test_directions_that_vary_within_a_class_do_not_hide_the_answer(classes):
    means, answers = classes
    loud = np.random.default_rng(1).normal(size=(len(means), 1)) * 10
    assert found(means + loud, answers).mean() > 0.97


def test_an_answer_that_is_rare_is_left_out_on_both_sides(classes):
    means, answers = classes
    answers = np.where(answers == 3, np.arange(len(answers)) + 1000, answers)
    assert len(found(means, answers)) == (answers[900:] < 40).sum()
    assert len(probe(means[:5], answers[:5], means, answers)) == 0
    assert found(np.ones_like(means), answers).mean() < 0.1


@pytest.mark.parametrize("name", ["outer", "mamba", "softmax"])
def test_at_the_end_of_the_way_a_layer_gives_what_it_gives(name):
    layout = ["short_conv", "mixer"]
    model = ModelConfig(d_model=8, layout=layout).make(MIXERS[name](), 11, rngs=nnx.Rngs(0))
    tokens, positions = jnp.arange(14).reshape(2, 7) % 11, jnp.array([[3, 6], [2, 5]])
    before = np.asarray(positions)[None] - 1
    outputs = _asked_at(model, tokens, positions, jnp.asarray(np.concatenate([before, 0 * before])))
    if name == "softmax":
        assert outputs == {}
        return
    mixer, x = mixer_inputs(model, tokens)[1]
    given = np.asarray(mixer(x))[np.arange(2)[:, None], positions]
    np.testing.assert_allclose(outputs[1][0], given, rtol=1e-4, atol=1e-6)
    assert np.abs(outputs[1][1] - given).max() > 1e-3


def test_an_untrained_memory_holds_nothing_that_can_be_found():
    task = TASKS["mqar"](pairs=(2,), vocab_size=16, length=10)
    model = ModelConfig(d_model=8).make(MIXERS["outer"](), 16, rngs=nnx.Rngs(0))
    table = held_answers(model, task)
    assert list(table["way"]) == 2 * list(np.linspace(0, 1, STAGES))
    assert (table["accuracy"] < 0.5).all()
    assert held_answers(model, TASKS["parity"]()).empty
