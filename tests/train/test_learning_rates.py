"""Which learning rate is chosen, when it counts as the end of its grid, and how `auto` goes on from there."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from sandbox.config import Config
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.run import run
from sandbox.run_folder import METRICS
from sandbox.tasks.mqar import MQARConfig
from sandbox.train import loop
from sandbox.train.config import AUTO_RATES, TrainConfig
from sandbox.train.learning_rates import best_learning_rate, edge_of_grid, further_rates
from sandbox.train.population import train_segment
from sandbox.train.step import Scores


def scores(accuracy):
    """Scores of one example for each member."""
    column = np.array(accuracy)[:, None]
    return Scores(accuracy=column, exact=column, loss=np.zeros_like(column))


def test_the_smaller_of_two_equally_good_learning_rates_is_chosen():
    rates, validation = np.repeat([0.1, 0.2, 0.3], 2), scores([0.2, 0.4, 0.5, 0.1, 0.3, 0.3])
    assert best_learning_rate(rates, np.zeros(6, bool), validation) == 0.1
    assert best_learning_rate(rates, rates == 0.1, validation) == 0.2


@pytest.mark.parametrize(
    ("accuracy", "halved", "edge"),
    [
        ([0.5, 0.4, 0.3], [], "lowest"),
        ([0.3, 0.4, 0.5], [], "highest"),
        ([0.3, 0.5, 0.4], [], ""),
        ([0.5, 0.5, 0.3], [], ""),  # a rate inside is as good
        ([0.4, 0.999, 1.0], [], ""),  # as good as solved
        ([0.5, 0.3, 0.5], [], ""),  # the best lies between the ends
        ([0.3, 0.4, 0.5], [2], ""),  # a halved rate is an end, and not the best
        ([0.5], [], ""),
    ],
)
def test_the_best_rate_is_an_edge_if_no_other_is_as_good(accuracy, halved, edge):
    rates = np.arange(len(accuracy)) + 1.0
    assert edge_of_grid(rates, np.isin(np.arange(len(rates)), halved), scores(accuracy), solved_at=0.999) == edge


@pytest.mark.parametrize(
    ("accuracy", "further"),
    [
        ({1e-3: 0.6, 3e-3: 0.7, 1e-2: 0.8}, [3e-2]),
        ({1e-3: 0.6, 3e-3: 0.7, 1e-2: 0.8, 3e-2: 0.9}, [1e-1]),
        ({1e-3: 0.8, 3e-3: 0.7, 1e-2: 0.6}, [3e-4]),
        ({1e-3: 0.8, 3e-3: 0.7, 1e-2: 0.6, 3e-4: 0.9}, [1e-4]),
        ({1e-3: 0.6, 3e-3: 0.7, 1e-2: 0.8, 3e-2: 0.7}, []),
        ({1e-3: 0.6, 3e-3: 0.7, 1e-2: 0.8, 3e-2: 0.9, 1e-1: 1.0}, []),  # five are enough
        ({1e-3: 0.06, 3e-3: 0.07, 1e-2: 0.06}, [3e-2]),  # none has learned
        ({1e-3: 0.07, 3e-3: 0.06, 1e-2: 0.05}, [3e-2]),
        ({1e-3: 0.06, 3e-3: 0.07, 1e-2: 0.06, 3e-2: 0.51}, [1e-1]),
        ({1e-3: 0.06, 3e-3: 0.51, 1e-2: 0.06}, []),
        ({1e-2: 0.06, 3e-2: 0.07, 1e-1: 0.05}, []),  # as far up as it goes
    ],
)
def test_auto_goes_on_beside_the_best_rate_until_that_lies_inside(accuracy, further):
    rates, halved, validation = np.array([*accuracy]), np.zeros(len(accuracy), bool), scores([*accuracy.values()])
    train = TrainConfig(learning_rates="auto", most_rates=5)
    assert further_rates(train, rates, halved, validation) == further
    assert further_rates(TrainConfig(learning_rates=[*accuracy]), rates, halved, validation) == []


class Killed(BaseException):
    """Ends a run as Ctrl-C does."""


def tiny(folder, learning_rates):
    return Config(
        SoftmaxConfig(),
        MQARConfig(vocab_size=16, length=16, pairs=[2], weights=1),
        ModelConfig(d_model=8, layout=["mixer"]),
        TrainConfig(
            steps=6,
            batch_size=4,
            learning_rates=learning_rates,
            num_seeds=1,
            halving=[0.5],
            eval_every=2,
            validation_examples=16,
            test_examples=16,
        ),
        output_dir=str(folder),
        checkpoint_seconds=0.0,
    )


@pytest.mark.slow(seconds=15)
def test_a_grid_that_is_widened_twice_and_killed_in_between(tmp_path, monkeypatch):
    def twice(train, rates, halved, validation):
        assert len(rates) == len(halved) == len(validation.accuracy)
        return {3: [3e-2], 4: [1e-1]}.get(len(rates), [])

    monkeypatch.setattr(loop, "further_rates", twice)
    programs = {}
    whole = tiny(tmp_path / "whole", "auto")
    records = run(whole, lambda rates, step, history: programs.update({rates[0]: train_segment._cache_size()}))
    assert programs[1e-1] == programs[3e-2] > programs[AUTO_RATES[0]]
    assert {record.learning_rate for record in records} == {*AUTO_RATES, 3e-2, 1e-1}
    steps = {record.learning_rate: record.steps for record in records}
    assert sorted(steps[rate] for rate in AUTO_RATES) == [4, 6, 6], "one of three is halved"
    assert steps[3e-2] == steps[1e-1] == 6
    with (whole.directory / METRICS).open() as file:
        rows = [(float(row["learning_rate"]), int(row["step"])) for row in csv.DictReader(file)]
    assert sorted(rows) == sorted((rate, step) for rate in steps for step in (2, 4, 6))

    def kill(rates, step, history):
        if rates == [1e-1] and step == 4:
            raise Killed

    killed = tiny(tmp_path / "killed", "auto")
    with pytest.raises(Killed):
        run(killed, kill)
    began = []
    resumed = run(killed, lambda rates, step, history: began.append((rates, step)))
    assert began == [(AUTO_RATES, 6), ([3e-2], 6), ([1e-1], 4), ([1e-1], 6)]
    assert (killed.directory / METRICS).read_text() == (whole.directory / METRICS).read_text()
    for one, other in zip(records, resumed, strict=True):
        assert replace(other, seconds=one.seconds, config=one.config) == one
