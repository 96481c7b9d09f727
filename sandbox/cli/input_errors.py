"""Errors of Hydra and of our own checks as one line: the key, the value, and what is allowed."""

import dataclasses
import json
import re
import shlex
import traceback
import typing
from types import FrameType
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import Node
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from sandbox.cli.compose import unknown_key
from sandbox.cli.definitions import definition
from sandbox.cli.grids import quoted
from sandbox.errors import InputError, did_you_mean, yaml_error_line
from sandbox.option_types import in_words
from sandbox.renamed import renamed

_SAYS_NOTHING = ("LexerNoViableAltException", "Error parsing override")
"""Starts of Hydra's reasons for an override that it cannot read which tell no more than that."""

_ADD_A_MIXER = "+mixer@model.mixers.NAME=CHOICE adds a mixer to a hybrid"

_ABOUT_AN_OVERRIDE = {
    r"Ambiguous value for argument '(([^=]*)=(.*))'": (
        r"\1: several values; `sandbox -m` sweeps over them, \2=[\3] is a list"
    ),
    r"Sweep parameters '(.*)' requires --multirun": r"\1: several values; `sandbox -m` sweeps over them",
    r"Could not override ''": "=: cannot be read as key=value, there is no key",
    r"Could not override '(.*)'\.(?s:.*) use (\+\S+)\s*$": r"\1: there is no such choice to change; \2 adds it",
    r"Could not delete from config. '(.*)' does not exist": r"~\1: nothing to remove, there is none or it is null",
    r"Could not append to config. An item is already at '(.*)'": r"+\1: the config has this key, without the +",
}
"""Hydra's messages about one override, as patterns -> what stands for them."""


def as_one_line(error: BaseException | None) -> str | None:
    """The line to show for this error; None if it is not about the user's input."""
    match error:
        case None:
            return None
        case InputError():
            return str(error)
        case MissingConfigException(options=options) if options:
            group, _, choice = (error.missing_cfg_file or "").rpartition("/")
            hint, known = did_you_mean(choice, options), ", ".join(sorted(options))
            return f"{group}={choice}: no such choice{hint}; there are {known}{renamed(group)}"
        case OverrideParseException():
            return _not_read(error)
        case OmegaConfBaseException():
            return _config_error(error)
        case ConfigCompositionException():
            return _composition_error(error)
        case HydraException():
            return first_line(str(error))
        case MarkedYAMLError(problem_mark=mark) if mark:
            return f"{mark.name}, {yaml_error_line(error)}"
        case YAMLError() | UnicodeDecodeError() | ValueError():
            return _from_within_hydra(error)
    return None


def _from_within_hydra(error: BaseException) -> str | None:
    """The line for an error of Hydra that does not say where it is: that is in the frames it came through."""
    frames: list[FrameType] = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    local = {name: value for frame in frames if _is_hydras(frame) for name, value in frame.f_locals.items()}
    if isinstance(error, YAMLError | UnicodeDecodeError):
        return f"{_conf_file(local['config_path'])}: {first_line(str(error))}" if "config_path" in local else None
    if not frames or not _is_hydras(frames[-1]):
        return None
    if isinstance(override := local.get("override"), Override) and not override.key_or_group:
        return f"{override.input_line}: cannot be read as key=value"
    if isinstance(override, Override) and local["is_group"]:
        return f"{override.input_line} must be the name of a choice"
    return first_line(str(error))


def _is_hydras(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("hydra.")


def _not_read(error: OverrideParseException) -> str:
    """Hydra's reason, and the override as it can be read: without spaces, or with its value in quotes."""
    key, _, value = error.override.partition("=")
    reason = first_line(error.message)
    line = f"{error.override}: cannot be read as key=value"
    line += f" ({reason})" if not reason.startswith(_SAYS_NOTHING) else ""
    if key != key.strip():
        return f"{line}; without spaces: {key.strip()}={value}"
    try:
        OverridesParser.create().parse_override(override := f"{key}={quoted(value)}")
    except HydraException:  # it is not the value that cannot be read
        return line
    each = ", in a sweep each value on its own" if "," in value else ""
    return f"{line}; text needs quotes inside those of the shell{each}: {shlex.quote(override)}" if value else line


def _config_error(error: OmegaConfBaseException, override: str = "") -> str:
    """The line for a value that OmegaConf does not take; `override` sets it, if it comes from the command line."""
    key, owner, message = error.full_key or str(error.key or ""), error.object_type, first_line(str(error))
    if isinstance(error, MissingMandatoryValue):
        return f"{key}: none is chosen; {key}=NAME chooses one"
    if failed := re.match("Could not create instance of .*?: (.*)", message):
        return f"{key}: {failed[1]}"
    if "does not support deletion" in message:
        return f"{override or key}: the config cannot be without {key}; {key}=VALUE changes it"
    if isinstance(error, KeyError | AttributeError):
        if isinstance(owner, type) and dataclasses.is_dataclass(owner):
            return unknown_key(key, owner)
        return f"{key}: no such key" + (f"; {_ADD_A_MIXER}" if key.startswith("model.mixers.") else "")
    setting = f"{key}={_written(error.value)}" if error.value is not None or not override else override.lstrip("+")
    if of_type := re.search(r"is not a subclass of (\w+Config)\. value: (.*)", message):
        return _not_options(setting, *of_type.groups())
    if annotation := _annotation(error):
        return f"{setting} must be {in_words(annotation)}{renamed(setting)}"
    if message == "Cannot merge DictConfig with ListConfig":  # or the other way round
        message, setting = "a table stands where a list belongs, or a list where a table does", override or key
    return f"{setting}: {message}".removeprefix(": ")


def _not_options(setting: str, class_name: str, value: str) -> str:
    """The line for a value in the place of the options of a part of the config."""
    if class_name == "MixerConfig":  # any mixer will do
        return f"{setting} must be the options of a mixer; {_ADD_A_MIXER}"
    fields = dataclasses.fields(definition("sandbox.config", "Config"))
    classes = [(field.name, field.type) for field in fields if isinstance(field.type, type)]
    for group, module, table in (("mixer", "sandbox.models.mixers", "MIXERS"), ("task", "sandbox.tasks", "TASKS")):
        classes += [(group, config_type) for config_type in definition(module, table).values()]
    group = next(group for group, config_type in classes if config_type.__name__ == class_name)
    other = f"`override /{group}: NAME` under `defaults:` makes another choice"
    return f"{group}={value} must be a table of options; {other}"


def _annotation(error: OmegaConfBaseException) -> Any:
    """The type of the field, or of the entry of a list, that this error is about; None if that is not known."""
    owner = error.object_type
    if not error.full_key:
        return None
    if isinstance(owner, type) and dataclasses.is_dataclass(owner):
        types = {field.name: field.type for field in dataclasses.fields(owner)}
        found = owner if error.key is None else types.get(str(error.key))
    elif error.key is None:
        found = error.ref_type
    else:
        found = (typing.get_args(error.ref_type) or [None])[-1]
    return None if found is Any else found


def _written(value: Any) -> str:
    """A value as it is written in YAML and on the command line."""
    value = value._value() if isinstance(value, Node) else value
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _composition_error(error: ConfigCompositionException) -> str:
    message, cause = str(error), error.__cause__ or error.__context__
    if isinstance(cause, OmegaConfBaseException) and (
        override := re.match("Error merging override (.*)", message)
    ):
        return _config_error(cause, override[1])
    line = as_one_line(cause)
    if not (file := re.match(r"In '(.*?)': (.*)", message)):
        return line or _about_an_override(message)
    group = file[1].partition("/")[0]
    if line and line.startswith(f"{group}: no such key"):
        line = "must be a table of keys, under the line `# @package _global_`"
    return f"{_conf_file(file[1])}: {line or file[2]}"


def _about_an_override(message: str) -> str:
    for pattern, line in _ABOUT_AN_OVERRIDE.items():
        if found := re.match(pattern, message):
            return found.expand(line)
    return first_line(message)


def _conf_file(name: str) -> str:
    """A YAML file of Hydra's search path, by the name that Hydra has for it."""
    return f"conf/{name.removesuffix('.yaml')}.yaml"


def first_line(text: str) -> str:
    """The first line of a message."""
    return text.strip().partition("\n")[0]
