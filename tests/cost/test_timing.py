"""Timing and its statistics, on an invented clock and invented seconds."""

import numpy as np
import pytest

from sandbox.bench.ceilings import measure_ceilings
from sandbox.cost import timing
from sandbox.cost.timing import crossovers, measure, speed_ratio, spread


@pytest.fixture
def make_call(monkeypatch):
    """Makes calls that take a given time on an invented clock, and log their names."""
    now, log = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def make(name, seconds):
        def call():
            now[0] += seconds
            log.append(name)

        return call

    make.log = log
    return make


def test_all_take_turns_and_each_round_starts_from_another(make_call):
    calls = {name: make_call(name, seconds) for name, seconds in {"a": 1.0, "b": 2.0, "c": 3.0}.items()}
    seconds = measure(calls, rounds=3, block_seconds=1.0)
    assert {name: list(times) for name, times in seconds.items()} == {"a": [1] * 3, "b": [2] * 3, "c": [3] * 3}
    assert "".join(make_call.log) == "aabbcc" + "aabbcc" + "bbccaa" + "ccaabb"


def test_a_block_of_short_calls_has_several_after_the_one_that_is_not_timed(make_call):
    seconds = measure({"short": make_call("s", 0.25)}, rounds=2, block_seconds=1.0)
    assert list(seconds["short"]) == [0.25, 0.25]
    assert len(make_call.log) == 2 + 2 * (1 + 4)


def test_nothing_to_time():
    assert measure({}, rounds=2) == {}


def test_spread_is_of_rounds():
    low, middle, high = spread(np.arange(11.0))
    assert (low, middle, high) == (1.0, 5.0, 9.0)


def test_anything_is_as_fast_as_itself():
    seconds = np.random.default_rng(0).uniform(1, 2, 15)
    assert speed_ratio(seconds, seconds) == (1.0, 1.0, 1.0)


def test_half_the_seconds_is_twice_the_speed_whatever_drifts():
    baseline = np.array([1.0, 1.1, 5.0, 1.0, 1.2])
    assert speed_ratio(baseline / 2, baseline) == pytest.approx((2.0, 2.0, 2.0))
    low, middle, high = speed_ratio(np.full(5, 0.5), baseline)
    assert low < middle < high


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [
        ({128: 0.5, 512: 2.0}, [(256, True)]),
        ({512: 2.0, 128: 0.5}, [(256, True)]),
        ({128: 4.0, 512: 0.25}, [(256, False)]),
        ({128: 0.25, 512: 4.0, 2048: 0.25}, [(256, True), (1024, False)]),
        ({128: 1.0, 512: 2.0}, []),
        ({128: 0.5, 512: 0.9}, []),
        ({512: 3.0}, []),
    ],
)
def test_crossovers_of_invented_speeds(speeds, expected):
    found = crossovers(speeds)
    assert [overtakes for _, overtakes in found] == [overtakes for _, overtakes in expected]
    assert [length for length, _ in found] == pytest.approx([length for length, _ in expected])


def test_ceilings_are_rates_of_what_was_run(monkeypatch):
    """Every call takes a second."""
    monkeypatch.setattr(
        "sandbox.bench.ceilings.measure", lambda calls, rounds: dict.fromkeys(calls, np.ones(rounds))
    )
    ceilings = measure_ceilings("float32", rounds=3, matmul_sizes=(64, 128), copied_bytes=2**16)
    assert ceilings == (2 * 64**3, 2 * 2**16), "one second is long enough: the larger product is not tried"
