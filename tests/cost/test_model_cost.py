"""Costs of models against length: what is counted, how it is timed, and where curves cross."""

import jax
import numpy as np
import pytest
from flax import nnx

from sandbox.cost import model_cost
from sandbox.cost.model_cost import compile_call, count_states, measure_models
from sandbox.cost.programs import decoding
from sandbox.cost.state import num_parameters, state_bytes
from sandbox.cost.timing import crossovers_of_counts, crossovers_of_times
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import OuterConfig
from sandbox.models.mixers.short_conv import ShortConvConfig
from sandbox.models.mixers.softmax import Positions, SoftmaxConfig


def make(mixer):
    return ModelConfig(d_model=16, layout=["mixer"]).make(mixer, 16, rngs=nnx.Rngs(0))


@pytest.mark.slow
def test_every_phase_is_counted_and_timed():
    models = {"softmax": make(SoftmaxConfig()), "short_conv": make(ShortConvConfig())}
    said = []
    for phase, tokens in (("training", 64), ("prefill", 64), ("decoding", 1)):
        lengths = [8, 32] if phase == "decoding" else [8]
        measured = list(measure_models(models, phase, lengths, tokens_per_call=64, rounds=2, report=said.append))
        assert [(row.length, row.series) for row, _ in measured] == [(n, s) for n in lengths for s in models]
        for row, seconds in measured:
            assert row.batch * (1 if phase == "decoding" else row.length) == tokens
            assert row.low_seconds <= row.median_seconds == np.median(seconds) <= row.high_seconds
            assert row.tokens_per_second == pytest.approx(1 / row.median_seconds)
            assert row.flops_per_token > 2 * 16 * 16
            assert row.peak_bytes > 4 * num_parameters(models[row.series])
            assert row.intensity == pytest.approx(row.compiled_flops / row.bytes_moved)
            assert row.missing == ""
    assert said[0] == "training, T=8, 8 sequences: 2 models"


def test_seconds_are_those_of_a_token(monkeypatch):
    monkeypatch.setattr(model_cost, "measure", lambda calls, rounds: dict.fromkeys(calls, np.full(rounds, 2.0)))
    monkeypatch.setattr(model_cost, "compile_call", lambda *_: (print, jax.jit(len).lower([]).compile()))
    models = {"outer": make(OuterConfig())}
    ((row, seconds),) = measure_models(models, "prefill", [8], tokens_per_call=40, rounds=3, report=print)
    assert seconds.tolist() == [2 / 40] * 3
    assert (row.median_seconds, row.tokens_per_second, row.batch) == (2 / 40, 20, 5)


def test_counting_alone_compiles_nothing(monkeypatch):
    monkeypatch.setattr(model_cost, "compile_call", lambda *_: pytest.fail("something was compiled"))
    models = {"outer": make(OuterConfig())}
    ((row, seconds),) = measure_models(models, "decoding", [2**20], tokens_per_call=1, rounds=0, report=print)
    assert (seconds, row.median_seconds, row.missing) == (None, None, "not timed")
    assert row.flops_per_token > 0


def test_a_length_that_a_model_cannot_have_is_left_out():
    learned = make(SoftmaxConfig(positions=Positions.learned, max_positions=16))
    states = list(count_states({"learned": learned}, [16, 17]))
    assert {row.length for row in states} == {16}
    rows = [
        row
        for row, _ in measure_models({"a": learned}, "prefill", [17], tokens_per_call=17, rounds=1, report=print)
    ]
    assert rows[0].missing.startswith("mixer.max_positions=16 is the longest sequence")
    assert rows[0].median_seconds is None


def test_an_implementation_that_does_not_run_here_says_why():
    model = make(OuterConfig(implementation="pallas"))
    ((row, _),) = measure_models({"a": model}, "training", [8], tokens_per_call=8, rounds=1, report=print)
    assert "pallas" in row.missing
    assert row.implementation == ""


@pytest.mark.slow(seconds=4)
def test_decoding_writes_over_its_state_and_begins_at_the_end_of_the_context():
    model = make(SoftmaxConfig())
    call, _ = compile_call(decoding(model, 1, 12), model, "decoding", 1, 12)
    state = model.init_state(1, 12)
    state = jax.tree.map(lambda leaf: leaf + 11 if leaf.ndim == 0 else leaf, state)
    token = jax.random.randint(jax.random.key(0), (1,), 0, 16)
    expected, carried = model.step(token, state)
    np.testing.assert_allclose(call(), expected, rtol=1e-5)
    again, _ = model.step(token, carried)
    np.testing.assert_allclose(call(), again, rtol=1e-5)


def test_states_are_counted_by_kind_and_in_all():
    model = make(MIXERS["rwkv6"]())
    rows = {row.state_kind: row.bytes for row in count_states({"a": model}, [100])}
    assert (
        rows["all"]
        == state_bytes(model, 100)
        == sum(rows[kind] for kind in rows if kind not in ("all", "zoology"))
    )
    assert rows["zoology"] == rows["recurrent memory"]


def test_counts_cross_between_the_lengths_next_to_it():
    square, line = {n: n * n for n in (10, 100, 1000)}, {n: 200 * n for n in (10, 100, 1000, 10_000)}
    (one,) = crossovers_of_counts(line, square)
    assert one == (pytest.approx(200), 100, 1000, True, 1.0)
    (other,) = crossovers_of_counts(square, line)
    assert (other.overtakes, other.low, other.high) == (False, 100, 1000)
    assert crossovers_of_counts({10: 1.0}, {100: 1.0}) == []


def test_times_cross_within_an_interval_that_holds_the_truth():
    noise = np.random.default_rng(1)
    square = {n: 1e-6 * n * noise.uniform(0.8, 1.25, 15) for n in (64, 256, 1024)}
    line = {n: 3e-4 * noise.uniform(0.8, 1.25, 15) for n in (64, 256, 1024)}
    (one,) = crossovers_of_times(line, square)
    assert one.overtakes
    assert one.low < 300 < one.high
    assert one.low < one.length < one.high
    assert one.share == 1
    assert crossovers_of_times({}, {}) == []


def test_what_drifts_with_the_rounds_widens_no_interval():
    drift = np.linspace(1, 4, 15)
    (one,) = crossovers_of_times({64: drift, 256: drift}, {64: drift / 2, 256: 2 * drift})
    assert one.low == pytest.approx(one.high) == pytest.approx(128)


def test_a_crossover_that_hardly_is_one_says_so():
    noise = np.random.default_rng(2)
    mine = {64: np.full(9, 2.0), 256: noise.uniform(0.5, 1.45, 9)}
    (one,) = crossovers_of_times(mine, {64: np.ones(9), 256: np.ones(9)})
    assert 0.5 < one.share < 1
