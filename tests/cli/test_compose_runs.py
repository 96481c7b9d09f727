"""The runs of a sweep are composed as Hydra composes each of them."""

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict

from sandbox.cli.compose import check, conf_dir, register_schema
from sandbox.cli.compose_runs import Composer, compose_runs


@pytest.fixture
def base():
    register_schema()
    with initialize_config_dir(conf_dir(), version_base="1.3", job_name="sandbox"):
        hydra = GlobalHydra.instance().hydra
        yield hydra.compose_config("config", ["experiment=quickstart"], RunMode.MULTIRUN, False, from_shell=False)


@pytest.mark.parametrize(
    "job",
    [
        ("mixer=gla", "mixer.d_state=8"),
        ("mixer.d_state=32", "experiment=quickstart", "mixer=outer", "mixer.update=delta", 'label="a, b"'),
        ("model=jamba", "model.attention_every=2", "train.learning_rates=[1e-3,0.01]", "train.num_examples=null"),
        ("model=jamba", "model.attention_every=3", "start=zoology", "model.tied=false"),
        ("task=needle", "seed=3", "model.layout=[short_conv,mixer]"),
    ],
    ids=" ".join,
)
def test_a_composed_run_is_hydras(base, job):
    loader = GlobalHydra.instance().hydra.config_loader
    composed = loader.load_sweep_config(base, list(job))
    with open_dict(composed):
        del composed["hydra"]
    compose = Composer(base, loader)
    assert compose(job) == check(composed)
    assert compose(job) == check(composed), "the second run of the same choices"


@pytest.mark.parametrize(
    ("values", "sizes"), [("range(4,7)", [4, 5, 6]), ("choice(4,6)", [4, 6]), ("0,4,8", [4, 8])], ids=str
)
def test_values_of_a_sweep_and_those_that_are_impossible(base, values, sizes):
    loader = GlobalHydra.instance().hydra.config_loader
    runs, impossible = compose_runs(base, loader, ["mixer=outer", f"mixer.d_state={values}"])
    assert [config.mixer.d_state for config in runs.values()] == sizes
    assert list(impossible.values()) == ["mixer.d_state=0 must be at least 1"] * ("0" in values.split(","))
