"""The records of runs: what their columns are and mean. The files that hold them are those of `run_folder.py`."""

import dataclasses
import math
import pathlib
from collections.abc import Collection
from typing import Any

from sandbox.errors import InputError

RECORDS = "records.csv"
"""The table of all records of a folder of runs, as `sandbox-collect` writes it."""
CURVES = "evaluations.csv"
"""The table of all their evaluations, beside it."""

STATUS_OK = "ok"
STATUS_DIVERGED = "diverged"
STATUS_HALVED = "halved"
STATUS_FAILED = "failed"
"""Start of the status of a failed run; `: why` follows."""

ALL_EXAMPLES = "all"
"""The slice that holds every example of a split."""

SLICE = "slice"
"""The column of slices."""

SCHEMA_VERSION = 2
"""Version of `Record`. 2 has `commit`, `schema_version`, and `study`, which 1 calls `experiment`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One member of one run, scored on one slice of one split: one row of a table of records.

    The fields with defaults belong to a member; left out, the record describes a run before it trains.
    """

    study: str
    """Folder that collects the runs of one study."""
    run_id: str
    """Hash of the part of the config that determines results."""
    label: str
    """Name of the run in figures and tables."""
    status: str = ""
    """`ok`, `diverged` (loss not finite; frozen at its last finite parameters), `halved` (frozen because its
    learning rate fell behind at one of `train.halving`) or `failed: why`."""
    split: str = ""
    """`validation` (which chose the learning rate) or `test` (which did not)."""
    slice: str = ""
    """`all`, or one difficulty of the task such as `pairs=16`."""
    learning_rate: float = math.nan
    seed: int = 0
    """Seeds the parameters and the training data of this member."""
    selected: bool = False
    """Whether this learning rate has the best validation accuracy of the run, averaged over its seeds; never one
    that was halved."""
    edge: str = ""
    """`lowest` or `highest` if that best learning rate of the run lies at this end of its grid; empty if not, if
    another rate is as good, or if there is one rate only (see `sandbox.train.learning_rates`)."""
    accuracy: float = math.nan
    """Share of scored positions answered right, averaged over sequences; 0 to 1."""
    exact: float = math.nan
    """Share of sequences whose scored positions are all answered right."""
    free_running: float = math.nan
    """The same share when the model reads its own answers; nan unless `train.free_running` asks for it, and of
    learning rates that are not selected."""
    macro_accuracy: float = math.nan
    """Accuracy averaged over the classes of the answers (see `sandbox.train.macro_accuracy`); nan unless
    `train.macro_accuracy` asks for it, and of learning rates that are not selected."""
    loss: float = math.nan
    """Cross entropy per scored position, in nats."""
    chance: float = math.nan
    """Accuracy of the best guess that does not look at the sequence, on this slice; see `TaskConfig.chance`."""
    steps: int = 0
    """Optimiser steps that this member took; fewer than `train.steps` if it solved the task or was frozen."""
    state_bytes: int
    """Bytes of the decode state per sequence at the longest length tested."""
    parameters: int
    """Number of trained parameters."""
    training_flops_per_token: float
    """FLOPs of one training step (forward and backward, without the optimiser) per input token, counting every
    loop iteration of the traced program; nan if it cannot be counted."""
    decode_flops_per_token: float
    """FLOPs of one decoding step at the longest length tested."""
    seconds: float = math.nan
    """Wall time of training all members together, compilation included."""
    implementation: str
    """Implementations of scans and attention that the training step chose when it was traced."""
    population: str
    """How the members were mapped: `vmap` or `map`."""
    platform: str
    """Kind of device; of a CPU also the cores that the run had."""
    commit: str
    """Git commit of the code, with `-dirty` if tracked files had changed since; else `unknown`."""
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str]
    config: dict[str, Any]
    """The resolved config, flattened: `{"mixer.d_state": 16, ...}`."""

    def __post_init__(self) -> None:
        """Makes each NaN the same object, by which a record equals the one that is read from its file."""
        for name, value in vars(self).items():
            if isinstance(value, float) and math.isnan(value):
                object.__setattr__(self, name, math.nan)

    def row(self) -> dict[str, Any]:
        """One flat row: the fields, then `versions.*`, then the config's own keys.

        A config key that is also a field (`seed`, `label`) becomes `config.seed`: the field describes this member,
        the config what was asked for.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        versions, config = fields.pop("versions"), fields.pop("config")
        return (
            fields
            | {f"versions.{name}": version for name, version in versions.items()}
            | {f"config.{key}" if key in FIELDS else key: value for key, value in config.items()}
        )


FIELDS = tuple(f.name for f in dataclasses.fields(Record) if f.name not in ("versions", "config"))
"""The columns that every table of records has."""

LATER_FIELDS: dict[str, Any] = {
    "edge": "",
    "chance": math.nan,
    "free_running": math.nan,
    "macro_accuracy": math.nan,
}
"""Columns that tables of this schema version may lack, because they came later, and what stands for them."""

RUN = ["study", "run_id"]
"""The columns that identify a run."""
MEMBER = [*RUN, "learning_rate", "seed"]
"""The columns that identify a member."""

SHARES = ("accuracy", "exact", "free_running", "macro_accuracy")
"""The scores of a member that are shares, 0 to 1, and can be on the y axis."""

ON_REQUEST = ("free_running", "macro_accuracy")
"""Those of them that are measured only if the option of `train` with this name is on."""

MEASURES = ("state_bytes", "parameters", "training_flops_per_token", "decode_flops_per_token", "seconds")
"""The numeric columns that describe a run rather than a member."""

TEXT_FIELDS = tuple(f.name for f in dataclasses.fields(Record) if f.type is str)
"""The columns that are read as text, whatever they look like."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One member at one evaluation during training: one table row of `metrics.csv`."""

    step: int
    learning_rate: float
    seed: int
    train_loss: float
    """Mean over the steps since the last evaluation, in nats."""
    validation_loss: float
    validation_accuracy: float


EVALUATION_FIELDS = tuple(f.name for f in dataclasses.fields(Evaluation))


def check_version(source: pathlib.Path, names: Collection[str], version: object) -> None:
    """Raises InputError for a record of another schema; `names` are those of its fields."""
    if version is None and {"experiment", "run_id"} <= set(names):
        version = 1  # had no column that says so
    if version not in (None, SCHEMA_VERSION):
        problem = f"records of schema version {version}, this code reads {SCHEMA_VERSION}"
        raise InputError(f"{source}: {problem}: move it away, or choose another study=")
