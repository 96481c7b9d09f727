"""The costs in the record of a run are those of the run's own programs."""

import functools
import math

import jax
import jax.numpy as jnp
import pytest

from sandbox.config import Config
from sandbox.cost.flops import count_flops
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers.outer import OuterConfig
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.run import describe
from sandbox.tasks.copy import CopyConfig
from sandbox.tasks.mqar import MQARConfig
from sandbox.tasks.streams import Split, sample_batch
from sandbox.train.config import Loss, TrainConfig
from sandbox.train.step import Problem, init_member, train_step

MODEL = ModelConfig(d_model=16, layout=["short_conv", "mixer"])


def costs(task, mixer, **train):
    config = Config(mixer, task, MODEL, TrainConfig(**train))
    problem = Problem(config.model, config.mixer, config.task, config.train)
    return describe(config, problem), problem


@pytest.mark.parametrize("loss", Loss)
def test_training_flops_are_those_of_the_training_step_without_the_optimiser(loss):
    task = MQARConfig(vocab_size=64, length=48, pairs=4)
    record, problem = costs(task, OuterConfig(), batch_size=8, loss=loss)
    member = jax.eval_shape(functools.partial(init_member, problem), jnp.float32(0.1), jnp.int32(0))
    batch = jax.eval_shape(lambda key: sample_batch(task, key, Split.TRAIN, 0, 8), jax.random.key(0))
    step = count_flops(functools.partial(train_step, problem), member, jnp.int32(0), batch)
    in_record = record.training_flops_per_token * 8 * 48
    assert 10 * record.parameters < step - in_record < 50 * record.parameters
    readout = 3 * 2 * 16 * 64 * (48 if loss is Loss.all else 4) / 48
    assert record.training_flops_per_token > readout


def test_decode_flops_are_those_at_the_longest_length_tested():
    short, long = (costs(CopyConfig(max_length=n), SoftmaxConfig())[0] for n in (20, 120))
    more = long.decode_flops_per_token - short.decode_flops_per_token
    assert more == pytest.approx(200 * 4 * 16, rel=0.15), "one more row of keys and of values for each more token"
    fixed = {costs(CopyConfig(max_length=n), OuterConfig())[0].decode_flops_per_token for n in (20, 120)}
    assert len(fixed) == 1


def test_what_cannot_be_counted_is_not_a_number(monkeypatch):
    def refuse(*arguments, **options):
        raise NotImplementedError("a loop")

    monkeypatch.setattr("sandbox.cost.programs.operations", refuse)
    record, _ = costs(CopyConfig(), OuterConfig())
    assert math.isnan(record.decode_flops_per_token)
