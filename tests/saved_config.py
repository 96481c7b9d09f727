"""A run's `config.yaml`, read back as the config that wrote it."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from sandbox.cli.compose import from_hydra
from sandbox.config import NAME, Config
from sandbox.models.mixers import MIXERS
from sandbox.tasks import TASKS


def from_plain(content: Mapping[str, Any]) -> Config:
    """The config that `plain` made into dicts, lists and scalars."""
    schema = OmegaConf.structured(Config)
    for key, table in (("mixer", MIXERS), ("task", TASKS)):
        schema[key] = table[content[key][NAME]]
    for name, mixer in content["model"]["mixers"].items():
        schema.model.mixers[name] = MIXERS[mixer[NAME]]
    return from_hydra(OmegaConf.merge(schema, without_names(content)))


def without_names(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: without_names(value) for key, value in content.items() if key != NAME}
    return content
