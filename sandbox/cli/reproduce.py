"""The command that makes a run again, told from its records."""

import ast
import contextlib
import functools
import math
import re
import shlex
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from sandbox.added_later import ADDED_LATER
from sandbox.cli.definitions import definition
from sandbox.results import RUN

_GROUPS = ("mixer.", "task.", "model.", "train.")
_MIXER_OF_LAYOUT = re.compile(r"(model\.mixers\.\w+)\.name")
_PLAIN_TEXT = re.compile(r"[A-Za-z_][\w.*/-]*")
_WORDS = {"true", "false", "null", "nan", "inf"}
"""Texts that Hydra reads as something else unless they are quoted."""


def commands(records: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(study, run id) -> the command that makes the run again: what it has other than the defaults, as overrides.

    The result options are those of the run, so that its content hash is the same. A run has no command if this
    version of the code lacks its mixer, its task or one of its options.
    """
    runs = records.drop_duplicates(RUN).to_dict("records")
    found = {(row["study"], row["run_id"]): _command(row) for row in runs}
    return {run: command for run, command in found.items() if command}


def _command(row: Mapping[Hashable, Any]) -> str | None:
    options = {
        str(key): value for key, value in row.items() if str(key).startswith(_GROUPS) and not _missing(value)
    }
    options["seed"] = row.get("config.seed", 0)
    mixers = {found[1]: str(options[key]) for key in options if (found := _MIXER_OF_LAYOUT.fullmatch(key))}
    try:
        defaults = dict(_defaults(str(options["mixer.name"]), str(options["task.name"])))
        for place, name in mixers.items():
            of_mixer = _defaults(name, str(options["task.name"])).items()
            defaults |= {
                key.replace("mixer", place, 1): value for key, value in of_mixer if key.startswith("mixer.")
            }
    except (KeyError, ValueError):  # no such mixer or task, or records without any
        return None
    if not options.keys() <= defaults.keys():
        return None
    choices = [f"mixer={options['mixer.name']}", f"task={options['task.name']}"]
    choices += [f"+mixer@{place}={name}" for place, name in mixers.items()]
    later = {
        f"{place}.{name}": value
        for (group, name), value in ADDED_LATER.items()
        for place in (group, *(mixers if group == "mixer" else ()))
    }
    values = {key: options.get(key, later.get(key)) for key in defaults}
    changed = [f"{key}={_override(values[key])}" for key in defaults if _text(values[key]) != _text(defaults[key])]
    changed += [f"label={_override(row['label'])}"] if row["label"] != options["mixer.name"] else []
    return shlex.join(["sandbox", *choices, *changed, f"study={_override(row['study'])}"])


@functools.cache
def _defaults(mixer: str, task: str) -> Mapping[str, Any]:
    mixers, tasks = definition("sandbox.models.mixers", "MIXERS"), definition("sandbox.tasks", "TASKS")
    return definition("sandbox.config", "Config")(mixers[mixer](), tasks[task]()).options


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: object) -> str:
    """The text by which values are compared: 8.0 of a table with gaps is 8."""
    if _missing(value):
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
    return str(value)


def _override(value: object) -> str:
    """A value as Hydra reads it on the command line; a list stands in records as its text in Python."""
    if not isinstance(value, str):
        return _text(value)
    if value.startswith("["):
        with contextlib.suppress(SyntaxError, ValueError):  # a label in brackets
            parts = ast.literal_eval(value)
            return f"[{','.join(_override(str(part) if isinstance(part, list) else part) for part in parts)}]"
    if _PLAIN_TEXT.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + value.replace('"', '\\"') + '"'
