"""The config as Hydra composes it: where its files are, its schema, and the checked `Config` that comes out."""

import dataclasses
import difflib
import pathlib

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from sandbox.config import Config, registered_names
from sandbox.errors import InputError
from sandbox.models.lm import ModelConfig
from sandbox.models.mixers import MIXERS
from sandbox.renamed import renamed
from sandbox.tasks import TASKS
from sandbox.train.config import TrainConfig


def conf_dir() -> str:
    """The folder of YAML files: inside the package if it is installed, beside it in a checkout."""
    package = pathlib.Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return str(folder)
    raise FileNotFoundError(f"conf/config.yaml: neither in {package} nor beside it")


def register_schema() -> None:
    """Tells Hydra the schema, and every mixer and task as a choice of the group `mixer` or `task`."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, table in (("mixer", MIXERS), ("task", TASKS)):
        for name, config_type in table.items():
            store.store(group=group, name=name, node=config_type)
    store.store(group="model", name="default", node=ModelConfig)
    store.store(group="train", name="default", node=TrainConfig)


def from_hydra(composed: DictConfig) -> Config:
    """Turns a composed config into a checked `Config`.

    Raises:
        InputError: a key that the schema does not have, or a value that is not allowed.
    """
    _reject_unknown_keys(composed)
    try:
        config = OmegaConf.to_object(composed)
    except ValueError as error:
        raise InputError(str(error)) from error
    assert isinstance(config, Config)
    return config


def _reject_unknown_keys(node: DictConfig, path: str = "") -> None:
    """Raises InputError for the first key that no dataclass has: Hydra lets `+mixer.d_stat=8` add one."""
    config_type = OmegaConf.get_type(node)
    for key in map(str, node):
        child = node._get_node(key)
        if dataclasses.is_dataclass(config_type) and key not in _field_names(config_type):
            raise InputError(unknown_key(f"{path}{key}", config_type))
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            _reject_unknown_keys(child, f"{path}{key}.")


def unknown_key(key: str, config_type: type) -> str:
    """The message for a key that configs of this type do not have."""
    allowed = _field_names(config_type)
    group, _, name = key.rpartition(".")
    registered = registered_names()
    owner = f"{group}={registered[config_type]}" if config_type in registered else group or "the config"
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = renamed(key, f"{owner} {key}") or (f" (did you mean {close[0]}?)" if close else "")
    return f"{key}: no such key{hint}; {owner} has {', '.join(allowed)}"


def _field_names(config_type: type) -> list[str]:
    return [field.name for field in dataclasses.fields(config_type)]
