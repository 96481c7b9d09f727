"""Errors of Hydra and of our own checks as one line: the key, the value, and what is allowed."""

import dataclasses
import re

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from sandbox.cli.compose import unknown_key
from sandbox.errors import InputError
from sandbox.renamed import renamed


def as_one_line(error: BaseException | None) -> str | None:
    """The line to show for this error; None if it is not about the user's input."""
    match error:
        case None:
            return None
        case InputError():
            return str(error)
        case MissingConfigException(options=options) if options:
            group, _, choice = (error.missing_cfg_file or "").rpartition("/")
            return f"{group}={choice}: no such choice; there are {', '.join(sorted(options))}{renamed(group)}"
        case OverrideParseException():
            return f"{error.override}: cannot be read as key=value ({first_line(error.message)})"
        case OmegaConfBaseException():
            return _config_error(error)
        case ConfigCompositionException():
            line = as_one_line(error.__cause__ or error.__context__)
            return _in_its_file(str(error), line) if line else _composition_error(str(error))
    return None


def _config_error(error: OmegaConfBaseException) -> str:
    key, owner = error.full_key or str(error.key), error.object_type
    if isinstance(error, KeyError | AttributeError):
        if isinstance(owner, type) and dataclasses.is_dataclass(owner):
            return unknown_key(key, owner)
        return f"{key}: no such key"
    setting = f"{key}={error.value}"
    return f"{setting}: {first_line(str(error))}{renamed(setting)}"


def _in_its_file(message: str, line: str) -> str:
    """The line, after the name of the YAML file if Hydra's message has one."""
    file = re.match(r"In '(.*)': ", message)
    return f"conf/{file[1]}.yaml: {line}" if file else line


def _composition_error(message: str) -> str:
    if several := re.match(r"Ambiguous value for argument '(.*)'", message):
        key, _, values = several[1].partition("=")
        return f"{key}={values}: several values; `sandbox -m` sweeps over them, {key}=[{values}] is a list"
    return first_line(message)


def first_line(text: str) -> str:
    """The first line of a message."""
    return text.strip().partition("\n")[0]
