"""The config as Hydra composes it: where its files are, its schema, and the checked `Config` that comes out."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from sandbox.cli.definitions import definition, imported
from sandbox.cli.tracking import check_installed
from sandbox.errors import InputError, did_you_mean
from sandbox.renamed import renamed

if TYPE_CHECKING:
    from sandbox.config import Config


def conf_dir() -> str:
    """The folder of YAML files: inside the package if it is installed, beside it in a checkout."""
    package = pathlib.Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return str(folder)
    raise FileNotFoundError(f"conf/config.yaml: neither in {package} nor beside it")


def register_schema(find: Callable[[str, str], Any] = definition) -> None:
    """Tells Hydra the schema, and every mixer and task as a choice of the group `mixer` or `task`; without jax.

    `find` gives what a name in a module stands for.
    """
    store = ConfigStore.instance()
    # Hydra copies the whole store for each group that it lists, and what it takes out of it once more.
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
    store.store(name="schema", node=find("sandbox.config", "Config"))
    mixers, tasks = find("sandbox.models.mixers", "MIXERS"), find("sandbox.tasks", "TASKS")
    for group, table in (("mixer", mixers), ("task", tasks)):
        for name, config_type in table.items():
            store.store(group=group, name=name, node=config_type)
    store.store(group="model", name="default", node=find("sandbox.models.lm", "ModelConfig"))
    store.store(group="train", name="default", node=find("sandbox.train.config", "TrainConfig"))


def from_hydra(composed: DictConfig) -> "Config":
    """Turns a composed config into a checked `Config`, which imports jax; raises as `check` does."""
    try:
        return imported(check(composed))
    except ValueError as error:
        raise InputError(str(error)) from error


def check(composed: DictConfig) -> "Config":
    """A checked config without jax, which knows its run id and cannot be run (see `sandbox.cli.definitions`).

    Raises:
        InputError: a key that the schema does not have, a value that is not allowed, or a tracker whose package is
            not installed.
    """
    _reject_unknown_keys(composed)
    try:
        config = cast("Config", OmegaConf.to_object(composed))
    except InterpolationResolutionError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{error.full_key}: {reason}; a text with ${{ in it is written with \\${{") from error
    except ValueError as error:
        raise InputError(str(error)) from error
    check_installed(config.tracker)
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
    registered = definition("sandbox.config", "registered_names")()
    owner = f"{group}={registered[config_type]}" if config_type in registered else group or "the config"
    hint = renamed(key, f"{owner} {key}") or did_you_mean(name, allowed)
    return f"{key}: no such key{hint}; {owner} has {', '.join(allowed)}"


def _field_names(config_type: type) -> list[str]:
    return [field.name for field in dataclasses.fields(config_type)]
