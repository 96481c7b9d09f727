"""The root config, put together from the parts' own dataclasses."""

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sandbox.models.lm import ModelConfig
from sandbox.models.mixer import MixerConfig
from sandbox.models.mixers import MIXERS
from sandbox.option_checks import check_at_least
from sandbox.tasks import TASKS, TaskConfig
from sandbox.train.config import TrainConfig

NAME = "name"
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

    study: str = "runs"
    """Folder of `output_dir` that collects the runs of one study."""
    label: str | None = None
    """Name of this run in figures and tables. None: the name of the hybrid, if any, and of the mixer."""
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
    def resolved_label(self) -> str:
        """Name of this run in figures and tables."""
        name = mixer_name(self.mixer)
        return self.label or (name if self.model.hybrid is None else f"{self.model.hybrid}, {name}")


RESULT_KEYS = ("mixer", "task", "model", "train", "seed")


def mixer_name(mixer: MixerConfig) -> str:
    """The name under which this config's class is registered."""
    return registered_names()[type(mixer)]


def plain(value: Any) -> Any:
    """A config as plain dicts, lists and scalars: what YAML and JSON can hold."""
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = registered_names()
        name = {NAME: names[type(value)]} if type(value) in names else {}
        return name | {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def registered_names() -> dict[type, str]:
    """The class of every mixer's and task's config -> the name under which it is registered."""
    return {config_type: name for table in (MIXERS, TASKS) for name, config_type in table.items()}
