"""What every task in TASKS promises, whatever it asks."""

import dataclasses
import enum
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from omegaconf import OmegaConf

from sandbox.tasks import TaskConfig


def test_shapes_and_types(task):
    example = jax.eval_shape(task.sample, jax.random.key(0))
    parts = {name: leaf for name, leaf in example._asdict().items() if name not in ("slices", "legal")}
    shapes = {name: (leaf.shape, leaf.dtype) for name, leaf in parts.items()}
    assert shapes == {
        "tokens": ((task.max_len,), jnp.int32),
        "positions": ((task.num_scored,), jnp.int32),
        "targets": ((task.num_scored,), jnp.int32),
        "weights": ((task.num_scored,), jnp.float32),
    }
    assert {(leaf.shape, leaf.dtype) for leaf in example.slices.values()} == {((), jnp.dtype("int32"))}
    if example.legal is not None:
        assert example.legal.shape == (task.num_scored, task.vocab_size)
        assert example.legal.dtype == jnp.bool_


def test_values_are_in_range(task, draw_batch):
    batch = draw_batch(task)
    for array, end in [
        (batch.tokens, task.vocab_size),
        (batch.targets, task.vocab_size),
        (batch.positions, task.max_len),
    ]:
        assert array.min() >= 0
        assert array.max() < end


def test_unused_places_come_last_and_are_zero(task, draw_batch):
    batch = draw_batch(task)
    weights = batch.weights
    assert set(np.unique(weights)) <= {0.0, 1.0}
    assert (weights[:, 0] == 1).all()
    assert (np.diff(weights, axis=1) <= 0).all()
    assert not batch.positions[weights == 0].any()
    assert not batch.targets[weights == 0].any()


def test_answers_that_are_read_follow_where_they_are_due(task, draw_batch):
    batch = draw_batch(task)
    read = batch.weights[:, 1:] > 0  # the last answer need not be shown
    shown = np.take_along_axis(batch.tokens, np.minimum(batch.positions[:, :-1] + 1, task.max_len - 1), axis=1)
    if task.answers_are_read:
        assert (shown == batch.targets[:, :-1])[read].all()


def test_every_token_has_a_meaning(task):
    meanings = [task.describe_token(token) for token in range(task.vocab_size)]
    assert len(set(meanings)) == task.vocab_size


def test_no_position_is_scored_twice(task, draw_batch):
    batch = draw_batch(task)
    for positions, weights in zip(batch.positions, batch.weights, strict=True):
        used = positions[weights == 1].tolist()
        assert len(set(used)) == len(used)


def test_slices_are_those_announced_and_all_occur(task, draw_batch):
    batch = draw_batch(task)
    assert set(batch.slices) == set(task.slice_values)
    for name, values in task.slice_values.items():
        assert tuple(np.unique(batch.slices[name]).tolist()) == values


def test_single_and_mapped_draws_agree(task):
    keys = jax.random.split(jax.random.key(3), 4)
    mapped = jax.jit(jax.vmap(task.sample))(keys)
    compiled = jax.jit(task.sample)
    for i, key in enumerate(keys):
        row = jax.tree.map(lambda leaf, i=i: leaf[i], mapped)
        jax.tree.map(np.testing.assert_array_equal, row, compiled(key))


def test_config_survives_omegaconf(task):
    config = OmegaConf.structured(type(task))
    assert OmegaConf.to_object(config) == task
    reread = OmegaConf.merge(config, OmegaConf.create(OmegaConf.to_yaml(config)))
    assert OmegaConf.to_object(reread) == task


def test_config_is_hashable_and_compared_by_value(task):
    assert hash(task) == hash(type(task)())
    assert task == type(task)()


def test_every_option_says_what_it_means(task):
    """A docstring stands under each field, in the task's class or in the base that owns the option."""
    sources = [inspect.getsource(base) for base in type(task).__mro__ if dataclasses.is_dataclass(base)]
    for field in dataclasses.fields(task):
        documented = re.compile(rf'^    {field.name}: .*\n    """', re.MULTILINE)
        assert any(map(documented.search, sources)), f"{field.name} has no docstring under it"


def test_tested_versions_share_vocabulary_and_slices(task):
    options = {field.name for field in dataclasses.fields(task)}
    longer = {
        "test_lengths": [
            2 * task.max_len + ("min_length" in options)
        ],  # recall takes even ones, arithmetic odd ones
        "test_pairs": [4],
        "test_gaps": [2 * task.max_len],
        "test_ngrams": [1],
    }
    task = dataclasses.replace(task, **{name: value for name, value in longer.items() if name in options})
    tests = task.test_tasks()
    assert {test.vocab_size for test in tests} == {task.vocab_size}
    assert {tuple(test.slice_values) for test in tests} == {tuple(task.slice_values)}
    assert all(test.test_tasks() == (test,) for test in tests), "what is tested is tested as it is"


def test_choices_are_enums_named_as_on_the_command_line(task):
    for field in dataclasses.fields(task):
        value = getattr(task, field.name)
        if isinstance(value, enum.Enum):
            assert value.name == value.value


def test_the_base_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        TaskConfig()
