"""The root config of a run, composed of the dataclasses of its parts."""

import dataclasses
import enum
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from sandbox.added_later import ADDED_LATER
from sandbox.models.lm import ModelConfig
from sandbox.models.mixer import MixerConfig
from sandbox.models.mixers import MIXERS
from sandbox.option_checks import (
    AUTO,
    LARGEST,
    check_at_least,
    check_at_most,
    check_choice,
    check_folder_name,
    check_jobs,
    check_not_blank,
)
from sandbox.results import SLICE
from sandbox.tasks import TASKS, TaskConfig
from sandbox.train.config import TrainConfig

NAME = "name"
"""Key of a plain config that holds the name of its entry in `MIXERS` or `TASKS`."""


class Versions(enum.Enum):
    """Finished runs that count as done."""

    same = "same"
    any = "any"


class Scale(enum.Enum):
    """How large an experiment is."""

    laptop = "laptop"
    paper = "paper"


class Tracker(enum.Enum):
    """Where a run is shown while it trains; the value is the package that this needs."""

    none = ""
    wandb = "wandb"
    tensorboard = "tensorboardX"


@dataclasses.dataclass
class ReportConfig:
    """What the report of a study shows."""

    x: str = "state_bytes"
    """x axis of the frontier: a cost, such as `training_flops_per_token`, a key, such as `mixer.half_life`, or
    `slice`, the difficulty."""
    y: str = "accuracy"
    """y axis of the frontier: `accuracy`; `exact`, the share of sequences without an error; `free_running`; or
    `macro_accuracy`."""
    columns: str = SLICE
    """Columns of the heatmap: `slice`, or a key, such as `mixer.decay`."""


@dataclasses.dataclass
class Config:
    """One run: a model, a task and how it trains. `RESULT_KEYS` determine its results and its id."""

    mixer: MixerConfig
    task: TaskConfig
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    seed: int = 0
    """First seed of the population; a seed determines both initial parameters and training data."""

    study: str = "runs"
    """Name of the folder in `output_dir` that collects the runs."""
    label: str | None = None
    """Name of this run in figures and tables. None: the names of the hybrid, if any, and of the mixer."""
    output_dir: str = "outputs"
    checkpoint_seconds: float = 20.0
    """Shortest time between two checkpoints."""
    jobs: Any = AUTO
    """Runs of a sweep that train at once: a number, or `auto`, one per core as far as memory allows."""
    scale: Scale = Scale.laptop
    """How large the experiment is: for a `laptop`, or as in the `paper` whose setting it has."""
    dry_run: bool = False
    """Train nothing; say what would run, what is done and what cannot be. `--dry-run` is the same."""
    versions: Versions = Versions.same
    """Finished runs that count as done: those of the `same` version of what determines results, or of `any`."""
    retry_failed: bool = False
    """Start the runs again that killed their process again and again; a sweep leaves them alone otherwise."""
    stop_on_failure: bool = False
    """Stop a sweep at its first failure; it goes on with the other runs otherwise."""
    tracker: Tracker = Tracker.none
    """The tracker that the command line sends every evaluation to, and the final scores."""
    report: ReportConfig = dataclasses.field(default_factory=ReportConfig)
    """The report that the command line writes on the study."""

    def __post_init__(self) -> None:
        for mixer in self.model.layer_mixers(self.mixer):
            mixer.check_length(self.longest * (1 if mixer.takes_segments else self.train.pack))
        if self.longest > LARGEST:
            name = registered_names()[type(self.task)]
            raise ValueError(f"task={name}: {self.longest} tokens in a sequence are more than {LARGEST}")
        if self.train.free_running and not self.task.answers_are_read:
            reading = [name for name, task in TASKS.items() if task.answers_are_read]
            raise ValueError(
                f"train.free_running=true needs a task that shows its answers ({', '.join(reading)}), "
                f"and {registered_names()[type(self.task)]} does not"
            )
        if self.train.macro_accuracy and not self.task.one_answer:
            raise ValueError(
                f"train.macro_accuracy=true needs a task with one right answer to a question, "
                f"and {registered_names()[type(self.task)]} has several"
            )
        check_folder_name("study", self.study)
        check_not_blank("output_dir", self.output_dir)
        if self.label is not None:
            check_not_blank("label", self.label)
        check_at_least("seed", self.seed, 0)
        check_at_most("seed", self.seed, LARGEST + 1 - self.train.num_seeds)
        check_at_least("checkpoint_seconds", self.checkpoint_seconds, 0)
        check_jobs(self.jobs)
        check_choice("tracker", self.tracker, Tracker)

    @property
    def longest(self) -> int:
        """Length in tokens of the longest sequence that is trained on or tested."""
        return max(task.max_len for task in (self.task, *self.task.test_tasks()))

    @property
    def run_id(self) -> str:
        """Names everything that determines the results: the hash of the config, and the versions of its parts.

        Equal runs have equal ids: `3f2a9c81b0d2`, or `3f2a9c81b0d2-gla.v2` once the results of `gla` have changed.
        """
        return f"{self.config_id}-{self.versions_name}" if self.versions_name else self.config_id

    @property
    def versions_name(self) -> str:
        """The parts whose results are no longer those of their first version, such as `gla.v2-parity.v2`.

        A part is `model`, `train`, or a mixer or task by its name.
        """
        named = {mixer_name(mixer): mixer.version for mixer in self.model.layer_mixers(self.mixer)}
        named[registered_names()[type(self.task)]] = self.task.version
        parts = {"model": self.model.version, "train": self.train.version} | dict(sorted(named.items()))
        return "-".join(f"{name}.v{version}" for name, version in parts.items() if version > 1)

    @property
    def config_id(self) -> str:
        """Hash of the options that determine the results."""
        content = result_options(self)
        of_hybrid = content["model"]["mixers"].values()
        for (group, name), value in ADDED_LATER.items():
            for options in (content[group], *(of_hybrid if group == "mixer" else ())):
                if name in options and options[name] == value:
                    del options[name]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def options(self) -> dict[str, Any]:
        """The options that determine the results, with dotted keys, as they stand in records."""
        return flatten(result_options(self))

    @property
    def directory(self) -> pathlib.Path:
        """The folder that this run writes to: `<output_dir>/<study>/<run id>`."""
        return pathlib.Path(self.output_dir).expanduser() / self.study / self.run_id

    @property
    def resolved_label(self) -> str:
        """`label`, or the name that stands for it."""
        name = mixer_name(self.mixer)
        return self.label or (name if self.model.hybrid is None else f"{self.model.hybrid}, {name}")


RESULT_KEYS = ("mixer", "task", "model", "train", "seed")
"""The keys of `Config` that determine the results of a run."""


def mixer_name(mixer: MixerConfig) -> str:
    """The name of this mixer in `MIXERS`."""
    return registered_names()[type(mixer)]


def plain(value: Any) -> Any:
    """Converts a config to dicts, lists and scalars, which YAML and JSON can hold."""
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


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns `{"mixer": {"d_state": 8}}` into `{"mixer.d_state": 8}`, and lists into text."""
    leaves: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = str(value) if isinstance(value, list) else value
    return leaves


def result_options(config: Config) -> dict[str, Any]:
    """The plain options that determine the results."""
    return {key: value for key, value in plain(config).items() if key in RESULT_KEYS}


def recorded(config: Config) -> dict[str, Any]:
    """The part of a config that its records keep: the options that determine the results, and later versions."""
    return result_options(config) | ({"code": {"versions": config.versions_name}} if config.versions_name else {})


def registered_names() -> dict[type, str]:
    """Config class of every mixer and task -> its name in `MIXERS` or `TASKS`."""
    return {config_type: name for table in (MIXERS, TASKS) for name, config_type in table.items()}
