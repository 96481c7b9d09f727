"""A change of results goes with a new version: what each part computes is compared with `versions.csv`.

If a comparison fails because results were meant to change, raise `version` in the config class of the part, which
keeps finished runs apart from new ones, and write the table anew: `python tests/test_versions.py`.
"""

import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import nnx

from sandbox.config import Config
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.run import run
from sandbox.tasks import TASKS
from sandbox.train.config import TrainConfig

TABLE = pathlib.Path(__file__).with_name("versions.csv")
RECORDED = pd.read_csv(TABLE, dtype={"version": str}, keep_default_na=False).set_index(["part", "name"])
WIDTH, LENGTH = 16, 9


def recorded(part):
    return [name for kind, name in RECORDED.index if kind == part]


def of_task(name):
    """A checksum of three examples: integers, the same on every platform."""
    example = jax.vmap(TASKS[name]().sample)(jax.random.split(jax.random.key(0), 3))
    leaves = [np.asarray(leaf) for leaf in (example.tokens, example.positions, example.targets)]
    return zlib.crc32(b"".join(leaf.astype("<i4").tobytes() for leaf in leaves))


def of_mixer(name):
    """The size of the outputs of a fresh mixer, whose parameters go into them."""
    config = MIXERS[name]()
    mixer = config.make(WIDTH, rngs=nnx.Rngs(0))
    inputs = jax.random.normal(jax.random.key(1), (1, LENGTH, WIDTH))
    return float(jnp.abs(nnx.jit(lambda mixer, x: mixer(x))(mixer, inputs)).sum())


def of_training(folder):
    """The loss of a small model after a few steps, whose mixer and task have comparisons of their own."""
    config = Config(
        mixer=MIXERS["linear_attention"](),
        task=TASKS["mqar"](length=16, pairs=[2, 4], vocab_size=16),
        model=ModelConfig(d_model=WIDTH),
        train=TrainConfig(steps=8, eval_every=8, learning_rates=[0.01], num_seeds=1),
        output_dir=str(folder),
    )
    return next(record.loss for record in run(config) if record.slice == "all" and record.split == "validation")


def rows(folder):
    for name, config in sorted(MIXERS.items()):
        yield "mixer", name, config.version, of_mixer(name)
    for name, config in sorted(TASKS.items()):
        yield "task", name, config.version, of_task(name)
    yield "training", "", f"{ModelConfig.version}.{TrainConfig.version}", of_training(folder)


@pytest.mark.slow(seconds=2)
@pytest.mark.parametrize("name", recorded("mixer"))
def test_results_of_a_mixer_change_with_its_version(name):
    row = RECORDED.loc[("mixer", name)]
    assert (row["version"], of_mixer(name)) == (str(MIXERS[name].version), pytest.approx(row["value"], rel=1e-3))


@pytest.mark.parametrize("name", recorded("task"))
def test_examples_of_a_task_change_with_its_version(name):
    row = RECORDED.loc[("task", name)]
    assert (row["version"], of_task(name)) == (str(TASKS[name].version), row["value"])


@pytest.mark.slow(seconds=5)
def test_results_of_training_change_with_the_versions_of_model_and_training(tmp_path):
    row = RECORDED.loc[("training", "")]
    versions = f"{ModelConfig.version}.{TrainConfig.version}"
    assert (row["version"], of_training(tmp_path)) == (versions, pytest.approx(row["value"], rel=1e-3))


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame(rows(folder), columns=["part", "name", "version", "value"])
    table.to_csv(TABLE, index=False, lineterminator="\n", float_format="%.12g")
