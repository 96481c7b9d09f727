"""Search spaces: overrides of `sandbox` in which a key may have an interval or a choice instead of a value.

train.learning_rates=log(1e-4,1e-1)    a number, uniform in its logarithm
train.weight_decay=interval(0,0.3)     a number, uniform; whole where the key takes whole numbers
mixer.d_state=choice(8,16,32)          one of these; mixer.d_state=8,16,32 says the same
"""

import dataclasses
import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, IntegerNode, OmegaConf

from sandbox.cli.compose import check
from sandbox.errors import InputError
from sandbox.option_checks import AUTO

if TYPE_CHECKING:
    from optuna.trial import Trial

    from sandbox.config import Config

RATES = "train.learning_rates"
DEFAULT_KNOB = f"{RATES}=log(1e-4,1e-1)"
"""What is searched if the overrides do not say."""
DEFAULT_STUDY = "study=tune"

OF_SWEEPS = ("dry_run", "tracker", "scale", "versions", "retry_failed", "stop_on_failure")
"""Keys that are of `sandbox` alone."""

FORMS = "KEY=log(LOW,HIGH), KEY=interval(LOW,HIGH) or KEY=choice(A,B,...)"
"""How a searched key is written."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A knob that takes a number from `low` to `high`."""

    key: str
    written: str
    """The override as it was given."""
    low: float
    high: float
    log: bool
    whole: bool = False

    @property
    def checked(self) -> list[str]:
        """The values to check before the search, as texts."""
        return [f"{end:.0f}" if end.is_integer() else repr(end) for end in (self.low, self.high)]

    def suggest(self, trial: "Trial") -> str:
        """The value of this trial, asked of Optuna."""
        if self.whole:
            return str(trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log))
        return repr(trial.suggest_float(self.key, self.low, self.high, log=self.log))


@dataclasses.dataclass(frozen=True)
class Choice:
    """A knob that takes one of some values, each written as on the command line."""

    key: str
    written: str
    """The override as it was given."""
    checked: list[str]
    """The values, all of which are checked before the search."""

    def suggest(self, trial: "Trial") -> str:
        """The value of this trial, asked of Optuna."""
        return str(trial.suggest_categorical(self.key, self.checked))


Knob = Interval | Choice


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The overrides that all trials share, and the knobs that tell them apart."""

    shared: list[str]
    knobs: list[Knob]
    """Sorted by key: Optuna is asked in this order."""

    def overrides(self, values: Mapping[str, str]) -> list[str]:
        """The overrides of a run with these values of the knobs; a single learning rate becomes a list."""
        return [*self.shared, *(f"{key}={_as_list(key, text)}" for key, text in values.items())]

    @property
    def first(self) -> dict[str, str]:
        """The first value of every knob."""
        return {knob.key: knob.checked[0] for knob in self.knobs}


def _as_list(key: str, text: str) -> str:
    return f"[{text}]" if key == RATES and text != AUTO and not text.startswith("[") else text


def read_space(arguments: Sequence[str]) -> "tuple[SearchSpace, Config]":
    """The space that these overrides describe, and the config of its first run, without jax.

    Hydra must be initialised. Raises InputError, or what Hydra raises, if an override cannot be read or a knob has
    a value that its key does not take.
    """
    parsed = _parse(arguments)
    if not any(override.is_sweep_override() for override in parsed):
        parsed += _parse([DEFAULT_KNOB])
    counts = Counter(override.key_or_group for override in parsed)
    knobs = [_knob(override) for override in parsed if override.is_sweep_override()]
    for knob in knobs:
        if counts[knob.key.lstrip("+")] > 1:
            raise InputError(f"{knob.written}: {knob.key} is given twice")
    shared = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
    if "study" not in counts:
        shared.append(DEFAULT_STUDY)
    space = SearchSpace(shared, sorted(knobs, key=lambda knob: knob.key))
    composed = compose("config", overrides=space.overrides(space.first), return_hydra_config=True)
    if composed.hydra.sweeper.grids or composed.hydra.sweeper.scales:
        name = composed.hydra.runtime.choices.experiment
        raise InputError(f"experiment={name}: many runs, and a search varies one: choose its mixer= and task=")
    composed = compose("config", overrides=space.overrides(space.first))
    space = dataclasses.replace(space, knobs=[_in_its_numbers(knob, composed) for knob in space.knobs])
    _check_values(space)
    first = check(composed)
    for field in dataclasses.fields(first):
        if field.name in OF_SWEEPS and (value := getattr(first, field.name)) != field.default:
            text = value.name if isinstance(value, enum.Enum) else str(value).lower()
            raise InputError(f"{field.name}={text}: sandbox-tune has no use for this key")
    return space, first


def _parse(arguments: Sequence[str]) -> list[Override]:
    functions = create_functions()
    functions.register("log", lambda low, high: IntervalSweep(start=float(low), end=float(high), tags={"log"}))
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    try:
        return OverridesParser(functions, hydra.config_loader).parse_overrides(list(arguments))
    except OverrideParseException as error:
        raise InputError(f"{error.override}: cannot be read as KEY=VALUE, {FORMS}") from error


def _knob(override: Override) -> Knob:
    key, written = override.get_key_element(), str(override.input_line)
    if override.is_discrete_sweep():
        return Choice(key, written, list(override.sweep_string_iterator()))
    sweep = override.value()
    assert isinstance(sweep, IntervalSweep)
    low, high, log = float(sweep.start or 0), float(sweep.end or 0), "log" in sweep.tags
    if not low < high:
        raise InputError(f"{written}: the first number must be below the second")
    if log and low <= 0:
        raise InputError(f"{written}: a logarithm needs numbers above 0")
    return Interval(key, written, low, high, log)


def _in_its_numbers(knob: Knob, composed: DictConfig) -> Knob:
    """The knob, with whole numbers if its key takes no others."""
    owner, _, name = knob.key.lstrip("+").rpartition(".")
    node = OmegaConf.select(composed, owner) if owner else composed
    if isinstance(knob, Interval) and isinstance(node, DictConfig):
        return dataclasses.replace(knob, whole=isinstance(node._get_node(name), IntegerNode))
    return knob


def _check_values(space: SearchSpace) -> None:
    """Composes a run with each value to check, the other knobs at their first."""
    for knob in space.knobs:
        overrides = [space.overrides(space.first | {knob.key: text}) for text in knob.checked]
        ids = {check(compose("config", overrides=each)).run_id for each in overrides}
        if len(ids) < len(knob.checked):
            raise InputError(f"{knob.written}: some of these values give the same results")
