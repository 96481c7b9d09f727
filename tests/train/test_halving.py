"""Successive halving: which learning rates are trained no further, and how that is recorded."""

import dataclasses

import numpy as np
import pytest

from sandbox.config import Config
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.results import STATUS_HALVED, STATUS_OK
from sandbox.run import run
from sandbox.tasks.mqar import MQARConfig
from sandbox.train.config import TrainConfig
from sandbox.train.halving import halve
from sandbox.train.step import Member, Scores

RATES = np.repeat([0.1, 0.2, 0.3, 0.4, 0.5], 2)
TRAIN = TrainConfig(
    steps=8,
    batch_size=4,
    learning_rates=[1e-5, 1e-4, 1e-3, 1e-2],
    num_seeds=1,
    eval_every=2,
    validation_examples=16,
    test_examples=16,
    halving=[0.25, 0.7],
)


def members(halved=(), active=RATES > 0):
    fields = dict.fromkeys(Member._fields)
    return Member(**fields | {"active": np.array(active), "halved": np.isin(RATES, halved)})


def scores(accuracy, loss):
    """Scores of one example for the two seeds of every rate."""
    accuracy, loss = np.repeat(accuracy, 2)[:, None], np.repeat(loss, 2)[:, None]
    return Scores(accuracy=accuracy, exact=accuracy, loss=loss)


def left(population):
    return sorted({*RATES[~np.asarray(population.halved)]})


def test_the_better_half_by_accuracy_then_loss_stays():
    population = halve(members(), RATES, scores([0.3, 0.9, 0.3, 0.3, 0.1], [1.0, 2.0, np.nan, 0.5, 0.1]))
    assert left(population) == [0.1, 0.2, 0.4]  # three of five
    assert list(np.asarray(population.active)) == [rate in (0.1, 0.2, 0.4) for rate in RATES]


def test_only_those_left_are_compared_and_one_always_stays():
    ranked = scores([0.9, 0.8, 0.7, 0.6, 0.5], [0.0] * 5)
    population = halve(members(halved=[0.1, 0.2]), RATES, ranked)
    assert left(population) == [0.3, 0.4]
    population = halve(halve(population, RATES, ranked), RATES, ranked)
    assert left(population) == [0.3]


@pytest.mark.slow(seconds=7)
def test_halved_members_are_frozen_recorded_and_never_selected(tmp_path):
    config = Config(
        SoftmaxConfig(),
        MQARConfig(vocab_size=16, length=16, pairs=[2], weights=1),
        ModelConfig(d_model=8, layout=["mixer"]),
        TRAIN,
        output_dir=str(tmp_path),
    )
    records = [record for record in run(config) if record.split == "test"]
    assert sorted(record.steps for record in records) == [2, 2, 6, 8]  # 0.7 of 8 steps is reached at step 6
    for record in records:
        assert record.status == (STATUS_OK if record.steps == 8 else STATUS_HALVED)
        assert record.selected == (record.steps == 8)


def test_run_ids_without_halving_are_those_of_before_it():
    config = Config(SoftmaxConfig(), MQARConfig())
    assert config.run_id == "89edf9a4c1d2"
    halving = dataclasses.replace(config, train=dataclasses.replace(config.train, halving=[0.5]))
    assert halving.run_id != config.run_id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"halving": [0.5, 0.25]}, r"train\.halving=\[0\.5, 0\.25\] must be rising shares of train\.steps"),
        ({"halving": [1.0]}, "above 0 and below 1"),
        ({"halving": [float("nan")]}, "above 0 and below 1"),
        ({"learning_rates": [1e-3]}, "needs two train.learning_rates or more"),
    ],
)
def test_impossible_halving_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TRAIN, **options)
