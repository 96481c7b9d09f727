"""Composed configs: what Hydra knows of the schema, and what it composes as a checked `Config`."""

import dataclasses
import difflib

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from sandbox.config import Config, registered_names
from sandbox.errors import InputError
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.tasks import TASKS
from sandbox.train.config import TrainConfig


def register_schema() -> None:
    """Makes the schema and every mixer and task known to Hydra, as groups of the same names."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, table in (("mixer", MIXERS), ("task", TASKS)):
        for name, config_type in table.items():
            store.store(group=group, name=name, node=config_type)
    store.store(group="model", name="default", node=ModelConfig)
    store.store(group="train", name="default", node=TrainConfig)


def from_hydra(composed: DictConfig) -> Config:
    """A composed config as a checked `Config`.

    Raises InputError, one line, for a key that the schema does not have or a value that is not allowed.
    """
    _reject_unknown_keys(composed)
    try:
        config = OmegaConf.to_object(composed)
    except ValueError as error:
        raise InputError(str(error)) from error
    assert isinstance(config, Config)
    return config


def _reject_unknown_keys(node: DictConfig, path: str = "") -> None:
    """Hydra lets `+mixer.d_stat=8` add a key that no dataclass has; raises InputError for the first."""
    config_type = OmegaConf.get_type(node)
    for key in map(str, node):
        child = node._get_node(key)
        if dataclasses.is_dataclass(config_type) and key not in _field_names(config_type):
            raise InputError(unknown_key(f"{path}{key}", config_type))
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            _reject_unknown_keys(child, f"{path}{key}.")


def unknown_key(key: str, config_type: type) -> str:
    """One line for a key that configs of this type do not have."""
    allowed = _field_names(config_type)
    place, _, name = key.rpartition(".")
    registered = registered_names()
    owner = f"{place}={registered[config_type]}" if config_type in registered else place or "the config"
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{key}: no such key{hint}; {owner} has {', '.join(allowed)}"


def _field_names(config_type: type) -> list[str]:
    return [field.name for field in dataclasses.fields(config_type)]
