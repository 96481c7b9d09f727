"""`read_config(run_dir)`: a run's `config.yaml` as the config that wrote it.

The file is read as data, whoever sent it: nothing in it is resolved or run, and it cannot say where the run lies.
"""

import dataclasses
import os
import pathlib
import reprlib
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from sandbox.added_later import ADDED_LATER
from sandbox.config import NAME, RESULT_KEYS, Config
from sandbox.errors import DamagedFile, InputError, did_you_mean, yaml_error_line
from sandbox.models.mixers import MIXERS
from sandbox.option_types import from_plain
from sandbox.renamed import renamed
from sandbox.run_folder import CONFIG, Path
from sandbox.tasks import TASKS

_TABLES: dict[str, Mapping[str, type]] = {"mixer": MIXERS, "task": TASKS}
"""Key of a choice -> what there is to choose from."""


def read_config(run_dir: Path) -> Config:
    """The config of the run in `run_dir`, which is `<output_dir>/<study>/<run id>`: both come from this path.

    Texts are what is written there, `${...}` too. An option that came after the run has the value that the run had
    (`ADDED_LATER`).

    Raises:
        InputError: there is no such file; or it has an option, a mixer or a task that this version lacks, or a
            value that is not allowed.
        DamagedFile: it is not a YAML table, or not what this run wrote: the id of its options is not the folder's.
    """
    path = pathlib.Path(os.path.abspath(run_dir)) / CONFIG
    if not path.is_file() or len(path.parents) < 3:
        raise InputError(f"{path}: no such file; the folder of a run has one")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DamagedFile(f"{path}: not YAML ({yaml_error_line(error)})") from error
    except (ValueError, RecursionError) as error:  # text that is not UTF-8, the 31st of February, endless brackets
        raise DamagedFile(f"{path}: not YAML ({error})") from error
    if not isinstance(content, dict):
        raise DamagedFile(f"{path}: not a table of options")
    place = {"output_dir": str(path.parents[2]), "study": path.parents[1].name}
    try:
        config = _options(content | place, Config)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: {error}") from error
    run_id = path.parent.name
    if config.config_id != run_id.partition("-")[0]:
        raise DamagedFile(f"{path}: has the options of run {config.run_id}, not those of {run_id}")
    return config


def _options(content: Any, config_type: Any, key: str = "", group: str = "") -> Any:
    """A config of this type; `key` is where it stands, and `group` its name in `ADDED_LATER`."""
    if not isinstance(content, dict):
        raise ValueError(f"{key}={reprlib.repr(content)} must be a table of options")
    prefix = f"{key}." if key else ""
    fields = {field.name: field for field in dataclasses.fields(config_type)}
    for name in map(str, content):
        if name not in fields:
            raise ValueError(f"{prefix}{name}: no such key{renamed(prefix + name) or did_you_mean(name, fields)}")
    for name in fields.keys() - content.keys():
        if (group, name) in ADDED_LATER:
            content = content | {name: ADDED_LATER[group, name]}
        elif (group or name) in RESULT_KEYS:
            raise ValueError(f"{prefix}{name} is missing")
    options = {name: _option(f"{prefix}{name}", value, fields[name].type) for name, value in content.items()}
    return config_type(**options)


def _option(key: str, value: Any, annotation: Any) -> Any:
    if key in _TABLES:
        return _choice(key, value, key)
    if typing.get_origin(annotation) is dict and isinstance(value, dict):
        return {str(name): _choice(f"{key}.{name}", content, "mixer") for name, content in value.items()}
    if dataclasses.is_dataclass(annotation):
        return _options(value, annotation, key, group=key)
    return from_plain(key, value, annotation)


def _choice(key: str, content: Any, group: str) -> Any:
    """The config of a mixer or a task: a table with its name and its options."""
    if not isinstance(content, dict):
        raise ValueError(f"{key}={reprlib.repr(content)} must be a table of options")
    known, name = _TABLES[group], content.get(NAME)
    if not isinstance(name, str) or name not in known:
        hint = did_you_mean(str(name), known)
        raise ValueError(f"{key}.{NAME}={reprlib.repr(name)}: no such {group}{hint}; there are {', '.join(known)}")
    options = {option: value for option, value in content.items() if option != NAME}
    return _options(options, known[name], key, group)
