"""Training a population: what is shared, what is frozen, what is chosen."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sandbox.config import Config
from sandbox.errors import InputError
from sandbox.models.layers.attention import Positions
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers.gla import GLAConfig
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.run import run
from sandbox.run_folder import FAILURE, METRICS, SUMMARY
from sandbox.tasks.mqar import MQARConfig
from sandbox.train import loop, population
from sandbox.train.config import Decayed, TrainConfig
from sandbox.train.step import Problem, init_member, schedule

pytestmark = pytest.mark.xdist_group("training")  # what the fixtures train is trained in one process

TASK = MQARConfig(vocab_size=16, length=16, pairs=[2, 4], weights=1)
TRAIN = TrainConfig(
    steps=6,
    batch_size=4,
    learning_rates=[1e-3, 1e-2],
    num_seeds=2,
    eval_every=4,
    validation_examples=10,
    test_examples=20,
)
MODEL = ModelConfig(d_model=8, layout=["mixer"])


def config(tmp_path, mixer=None, **options):
    train = dataclasses.replace(TRAIN, **options)
    return Config(mixer or SoftmaxConfig(), TASK, MODEL, train, output_dir=str(tmp_path))


def problem(mixer=None, **options):
    return Problem(MODEL, mixer or SoftmaxConfig(), TASK, dataclasses.replace(TRAIN, **options))


@pytest.fixture(scope="module")
def trained():
    """A problem, its population before the first step and after four, and the mean losses of these."""
    fresh = problem()
    start = population.init_population(fresh, 0)
    return fresh, start, *population.advance(fresh, start, 0, 4)


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """A run that failed, and what it left."""
    asked = config(tmp_path_factory.mktemp("outputs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "advance", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory\nat 0x1")))
        with pytest.raises(RuntimeError, match="out of memory"):
            run(asked)
    return asked, {name: (asked.directory / name).read_text() for name in (FAILURE, SUMMARY)}


@pytest.fixture(scope="module")
def finished(failed):
    """The same run, tried again."""
    asked, _ = failed
    return asked, run(asked)


@pytest.mark.parametrize("mixer", [SoftmaxConfig(positions=Positions.rope), GLAConfig(d_state=4, num_heads=1)])
def test_packed_sequences_train_as_single_ones(mixer):
    alone, packed = problem(mixer), problem(mixer, pack=4)
    ends = [population.advance(one, population.init_population(one, 0), 0, 3) for one in (alone, packed)]
    np.testing.assert_allclose(ends[1][1], ends[0][1], rtol=1e-4)
    for one, other in zip(*(jax.tree.leaves(end.params) for end, _ in ends), strict=True):
        np.testing.assert_allclose(other, one, atol=2e-4)


def test_one_record_per_member_split_and_slice(finished):
    _, records = finished
    keys = {(r.learning_rate, r.seed, r.split, r.slice) for r in records}
    assert len(keys) == len(records) == 2 * 2 * 2 * 3
    assert {r.slice for r in records} == {"all", "pairs=2", "pairs=4"}
    assert {r.status for r in records} == {"ok"}
    assert {r.steps for r in records} == {TRAIN.steps}
    assert {r.chance for r in records} == {1 / TASK.num_values}
    assert {r.config["mixer.name"] for r in records} == {"softmax"}
    assert all(r.state_bytes == 4 * 2 * 8 * TASK.max_len + 4 for r in records)


def test_the_learning_rate_is_chosen_on_validation(finished):
    _, records = finished
    validation = [r for r in records if r.split == "validation" and r.slice == "all"]
    mean = {rate: np.mean([r.accuracy for r in validation if r.learning_rate == rate]) for rate in (1e-3, 1e-2)}
    selected = {r.learning_rate for r in records if r.selected}
    assert selected == {max(mean, key=mean.get)}


def test_a_row_of_metrics_per_evaluation_and_member(finished):
    asked, _ = finished
    rows = (asked.directory / METRICS).read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step"] + ["4"] * 4 + ["6"] * 4


def test_a_finished_run_is_read_not_trained(finished, monkeypatch):
    asked, records = finished
    monkeypatch.setattr("sandbox.run.fit", lambda *_, **__: pytest.fail("trained again"))
    assert run(asked) == records


def test_members_do_not_disturb_each_other(trained):
    """A member of a population is the member alone, up to rounding."""
    _, _, together, _ = trained
    one = problem(learning_rates=[1e-2], num_seeds=1)
    alone, _ = population.advance(one, population.init_population(one, 0), 0, 4)
    member = jax.tree.map(lambda leaf: leaf[2], together.params)  # learning rate 1e-2, seed 0
    for a, b in zip(jax.tree.leaves(member), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_allclose(a, b[0], atol=1e-5)


def test_side_by_side_equals_one_after_the_other(trained, monkeypatch):
    assert population.mapping() == "map"
    _, start, mapped, losses = trained
    monkeypatch.setattr(population, "mapping", lambda: "vmap")
    vmapped, vmapped_losses = population.advance(problem(), start, 0, 4)
    np.testing.assert_allclose(losses, vmapped_losses, rtol=1e-4)
    for a, b in zip(jax.tree.leaves(mapped.params), jax.tree.leaves(vmapped.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_drawing_ahead_less_changes_nothing(trained, monkeypatch):
    """Up to rounding: two programs, compiled as tests are."""
    fresh, start, expected, expected_loss = trained
    monkeypatch.setattr(population, "DRAWN_BYTES", 1)
    stepwise, loss = population.advance(fresh, start, 0, 4)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(stepwise), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.slow(seconds=5)
def test_a_diverged_member_is_frozen_and_reported(tmp_path):
    records = run(config(tmp_path, learning_rates=[1e-3, 1e38], num_seeds=1))
    status = {r.learning_rate: r.status for r in records}
    assert status == {1e-3: "ok", 1e38: "diverged"}
    steps = {r.learning_rate: r.steps for r in records}
    assert steps[1e-3] == TRAIN.steps
    assert steps[1e38] < TRAIN.steps
    assert all(np.isfinite(r.accuracy) for r in records)


def test_training_stops_when_all_members_have_solved_the_task(tmp_path):
    records = run(config(tmp_path, solved_at=0.0, steps=100))
    assert {r.steps for r in records} == {TRAIN.eval_every}


def test_a_failed_run_says_why_and_is_tried_again(failed, finished):
    asked, left = failed
    assert "out of memory" in left[FAILURE]
    assert '"failed: out of memory"' in left[SUMMARY]
    _, records = finished
    assert {r.status for r in records} == {"ok"}
    assert not (asked.directory / FAILURE).exists()


def test_an_output_folder_that_cannot_be_written_is_refused(tmp_path):
    blocked = tmp_path / "a_file"
    blocked.write_text("")
    with pytest.raises(InputError, match=r"output_dir: cannot write to .*a_file"):
        run(config(blocked))


def test_weight_decay_shrinks_what_it_should(trained):
    """With a zero gradient only decayed weights move, towards zero."""
    fresh, (_, start, *_) = problem(weight_decay=0.5), trained
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[0], start.params)
    zero = jax.tree.map(np.zeros_like, params)
    updates, _ = jax.jit(lambda: fresh.optimizer.update(zero, fresh.optimizer.init(params), params))()
    np.testing.assert_allclose(updates["embedding"], 0.5 * params["embedding"])
    np.testing.assert_array_equal(updates["norm"]["scale"], 0)


def test_weight_decay_of_all_parameters(trained):
    fresh, (_, start, *_) = problem(weight_decay=0.5, decayed=Decayed.all), trained
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[0], start.params)
    zero = jax.tree.map(np.zeros_like, params)
    updates, _ = jax.jit(lambda: fresh.optimizer.update(zero, fresh.optimizer.init(params), params))()
    jax.tree.map(lambda update, leaf: np.testing.assert_allclose(update, 0.5 * leaf), updates, params)


@pytest.mark.parametrize(("step", "share"), [(0, 1 / 11), (5, 6 / 11), (10, 1.0), (55, 0.5), (100, 0.0)])
def test_schedule_warms_up_then_falls_as_a_cosine(step, share):
    train = TrainConfig(steps=100, warmup=0.1)
    np.testing.assert_allclose(schedule(train, jnp.int32(step)), share, atol=1e-6)


@pytest.mark.parametrize(("clip_norm", "norm"), [(0.5, 0.5), (1e6, 8.0), (None, 8.0)])
def test_gradients_are_scaled_down_to_clip_norm(clip_norm, norm):
    member = init_member(problem(), jnp.float32(1e-3), jnp.int32(0))
    size = sum(leaf.size for leaf in jax.tree.leaves(member.params))
    gradients = jax.tree.map(lambda leaf: jnp.full_like(leaf, 8 / math.sqrt(size)), member.params)
    _, (_, adam, _) = problem(clip_norm=clip_norm).optimizer.update(gradients, member.opt_state, member.params)
    np.testing.assert_allclose(optax.tree.norm(adam.mu) / (1 - TRAIN.beta1), norm, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_warmup_of_all_steps_ends_at_the_peak(steps):
    shares = [schedule(TrainConfig(steps=steps, warmup=1.0), jnp.int32(step)) for step in range(steps)]
    np.testing.assert_allclose(shares, np.arange(1, steps + 1) / steps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rates": []}, r"train\.learning_rates=\[\] is empty"),
        ({"learning_rates": "best"}, r"train\.learning_rates=best must be auto or a list of positive numbers"),
        ({"learning_rates": [1e-3, 0.0]}, r"train\.learning_rates\[1\]=0\.0 must be a finite number above 0"),
        ({"learning_rates": "auto", "most_rates": 2}, r"train\.most_rates=2 must be at least 3"),
        ({"clip_norm": math.nan}, r"train\.clip_norm=nan must be a finite number above 0"),
        ({"clip_norm": 0.0}, r"train\.clip_norm=0\.0 must be a finite number above 0"),
        ({"weight_decay": math.inf}, r"train\.weight_decay=inf must be at least 0 and finite"),
        ({"solved_at": math.nan}, r"train\.solved_at=nan must be a number"),
        ({"learning_rates": [1e-3, 1e-3]}, "names a value twice"),
        ({"steps": 0}, r"train\.steps=0 must be at least 1"),
        ({"num_seeds": 0}, r"train\.num_seeds=0 must be at least 1"),
        ({"warmup": 1.5}, r"train\.warmup=1\.5 must be between 0 and 1"),
        ({"num_examples": 0}, r"train\.num_examples=0 must be at least 1"),
        ({"beta1": 1.0}, r"train\.beta1=1\.0 must be at least 0 and below 1"),
    ],
)
def test_impossible_training_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)
