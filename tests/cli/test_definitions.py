"""The config classes that the command line defines without jax are those that the modules define."""

import dataclasses
import itertools

import pytest
from omegaconf import OmegaConf

from sandbox.cli import definitions
from sandbox.cli.definitions import definition, imported
from sandbox.config import Config
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.tasks import TASKS
from sandbox.train.config import TrainConfig

LIGHT = {
    "mixer": (definition("sandbox.models.mixers", "MIXERS"), MIXERS),
    "task": (definition("sandbox.tasks", "TASKS"), TASKS),
    "the rest": (
        {
            name: definition(module, name)
            for module, name in [
                ("sandbox.config", "Config"),
                ("sandbox.models.lm", "ModelConfig"),
                ("sandbox.train.config", "TrainConfig"),
            ]
        },
        {"Config": Config, "ModelConfig": ModelConfig, "TrainConfig": TrainConfig},
    ),
}


@pytest.mark.parametrize("kind", LIGHT)
def test_they_have_the_same_fields_with_the_same_defaults(kind):
    light, real = LIGHT[kind]
    assert [*light] == [*real]
    for name in real:
        assert light[name] is not real[name]
        ours, theirs = dataclasses.fields(light[name]), dataclasses.fields(real[name])
        assert [(field.name, str(field.type)) for field in ours] == [
            (field.name, str(field.type)) for field in theirs
        ]
        assert OmegaConf.to_yaml(OmegaConf.structured(light[name])) == OmegaConf.to_yaml(
            OmegaConf.structured(real[name])
        )


def test_they_check_and_identify_a_run_as_the_real_ones_do():
    mixers, tasks = LIGHT["mixer"][0], LIGHT["task"][0]
    make = LIGHT["the rest"][0]["Config"]
    for mixer, task in itertools.zip_longest(MIXERS, TASKS, fillvalue="mqar"):
        config = make(mixers[mixer](), tasks[task]())
        real = Config(MIXERS[mixer](), TASKS[task]())
        assert config.run_id == real.run_id
        assert imported(config) == real


def test_if_one_cannot_be_defined_all_are_imported(monkeypatch):
    monkeypatch.setattr(definitions, "DEFINED", (*definitions.DEFINED, ("sandbox.models.lm", "LanguageModel")))
    definitions._all_can_be.cache_clear()
    try:
        assert definition("sandbox.config", "Config") is Config
        assert definition("sandbox.models.mixers", "MIXERS") is MIXERS
    finally:
        definitions._all_can_be.cache_clear()


def test_a_function_imports_the_package_that_it_uses_when_it_is_called():
    names = definitions._names_of("sandbox.tasks.parts.groups")
    assert names.define("multiplication_table")
    assert names.define("Group")
    assert names.defined["multiplication_table"](names.defined["Group"].S3).shape == (6, 6)
