"""Errors of Hydra and of our own checks as one line: the key, the value, and what is allowed."""

import dataclasses
import re
import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import OmegaConfBaseException

from sandbox.cli.compose import unknown_key
from sandbox.cli.grids import quoted
from sandbox.errors import InputError
from sandbox.renamed import renamed

_BAD_CHARACTER = "LexerNoViableAltException"
"""What Hydra calls a character that its grammar lacks."""


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
            return _not_read(error)
        case OmegaConfBaseException():
            return _config_error(error)
        case ConfigCompositionException():
            line = as_one_line(error.__cause__ or error.__context__)
            return _in_its_file(str(error), line) if line else _composition_error(str(error))
    return None


def _not_read(error: OverrideParseException) -> str:
    """Hydra's reason, if it is more than the name of an exception, and the override with its value in quotes."""
    key, _, value = error.override.partition("=")
    reason = first_line(error.message)
    line = f"{error.override}: cannot be read as key=value"
    line += f" ({reason})" if not reason.startswith(_BAD_CHARACTER) else ""
    try:
        OverridesParser.create().parse_override(override := f"{key}={quoted(value)}")
    except HydraException:  # it is not the value that cannot be read
        return line
    each = ", in a sweep each value on its own" if "," in value else ""
    return f"{line}; text needs quotes inside those of the shell{each}: {shlex.quote(override)}" if value else line


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
