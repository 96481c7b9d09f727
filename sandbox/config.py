"""The root config: put together from the parts' own dataclasses, which Hydra knows by their registry names."""

import dataclasses
import difflib
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from sandbox.models.lm import ModelConfig
from sandbox.models.mixer import MixerConfig
from sandbox.models.mixers import MIXERS
from sandbox.option_checks import check_at_least
from sandbox.results import InputError
from sandbox.tasks import TASKS, TaskConfig
from sandbox.train.config import TrainConfig

KIND = "kind"
"""Key under which a plain config says which entry of `MIXERS` or `TASKS` it is."""


@dataclasses.dataclass
class Config:
    """One run: a model, a task, and how it trains. The first five keys determine its results and its id."""

    mixer: MixerConfig
    task: TaskConfig
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    seed: int = 0
    """First seed of the population; a seed sets both parameters and training data."""

    experiment: str = "runs"
    """Folder of `output_dir` that collects the runs of one question."""
    label: str | None = None
    """Name of this run's series in figures and tables. None: the name of the hybrid, if any, and of the mixer."""
    output_dir: str = "outputs"
    checkpoint_seconds: float = 20.0
    """Least time between two checkpoints."""

    def __post_init__(self) -> None:
        for mixer in self.model.layer_mixers(self.mixer):
            mixer.check_length(self.longest)
        check_at_least("seed", self.seed, 0)
        check_at_least("checkpoint_seconds", self.checkpoint_seconds, 0)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that is trained on or tested."""
        return max(task.max_len for task in (self.task, *self.task.test_tasks()))

    @property
    def run_id(self) -> str:
        """Content hash of what determines the results."""
        content = {key: value for key, value in plain(self).items() if key in RESULT_KEYS}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def series(self) -> str:
        """Name of this run's series in figures and tables."""
        name = mixer_name(self.mixer)
        return self.label or (name if self.model.hybrid is None else f"{self.model.hybrid}, {name}")


RESULT_KEYS = ("mixer", "task", "model", "train", "seed")


def mixer_name(mixer: MixerConfig) -> str:
    """The name under which this config's class is registered."""
    return _names_of(MIXERS)[type(mixer)]


def plain(value: Any) -> Any:
    """A config as plain dicts, lists and scalars: what YAML and JSON can hold; `from_plain` reads it back."""
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = _names_of(MIXERS) | _names_of(TASKS)
        kind = {KIND: names[type(value)]} if type(value) in names else {}
        return kind | {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def from_plain(content: Mapping[str, Any]) -> Config:
    """The config that `plain` wrote, such as a run's `config.yaml`; checked like one from the command line."""
    schema = OmegaConf.structured(Config)
    for key, table in (("mixer", MIXERS), ("task", TASKS)):
        schema[key] = table[content[key][KIND]]
    for name, mixer in content["model"]["mixers"].items():
        schema.model.mixers[name] = MIXERS[mixer[KIND]]
    merged = OmegaConf.merge(schema, _without_kinds(content))
    assert isinstance(merged, DictConfig)
    return from_hydra(merged)


def from_hydra(composed: DictConfig) -> Config:
    """A composed config as a checked `Config`.

    Raises InputError, one line, for a key that the schema does not have or a value that is not allowed.
    """
    _refuse_unknown_keys(composed)
    try:
        config = OmegaConf.to_object(composed)
    except ValueError as error:
        raise InputError(str(error)) from error
    assert isinstance(config, Config)
    return config


def _refuse_unknown_keys(node: DictConfig, path: str = "") -> None:
    """Hydra lets `+mixer.d_stat=8` add a key that no dataclass has; raises InputError for the first."""
    kind = OmegaConf.get_type(node)
    for key in map(str, node):
        child = node._get_node(key)
        if dataclasses.is_dataclass(kind) and key not in _field_names(kind):
            raise InputError(unknown_key(f"{path}{key}", kind))
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            _refuse_unknown_keys(child, f"{path}{key}.")


def unknown_key(key: str, kind: type) -> str:
    """One line for a key that `kind`, the config it was given to, does not have."""
    allowed = _field_names(kind)
    place, _, name = key.rpartition(".")
    registered = _names_of(MIXERS) | _names_of(TASKS)
    owner = f"{place}={registered[kind]}" if kind in registered else place or "the config"
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{key}: no such key{hint}; {owner} has {', '.join(allowed)}"


def _field_names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def register() -> None:
    """Makes the schema and every mixer and task known to Hydra, as groups of the same names."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, table in (("mixer", MIXERS), ("task", TASKS)):
        for name, kind in table.items():
            store.store(group=group, name=name, node=kind)
    store.store(group="model", name="default", node=ModelConfig)
    store.store(group="train", name="default", node=TrainConfig)


def _names_of(table: Mapping[str, type]) -> dict[type, str]:
    return {kind: name for name, kind in table.items()}


def _without_kinds(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _without_kinds(value) for key, value in content.items() if key != KIND}
    return content
