"""What an option may be, by the type of its field: in words, and read from the plain data of a YAML file."""

import enum
import reprlib
import types
import typing
from typing import Any

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def in_words(annotation: Any) -> str:
    """What a field of this type takes, to stand after `must be`."""
    inner, optional = _without_none(annotation)
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        words = f"one of {', '.join(inner.__members__)}"
    elif typing.get_origin(inner) is list:
        words = "a list"
    else:
        words = _WORDS.get(inner, "a table of options")
    return f"{words}, or null" if optional else words


def from_plain(key: str, value: Any, annotation: Any) -> Any:
    """The value of a field of this type, from what YAML has for it; a field of type Any takes everything.

    Raises ValueError, one line with the key, the value and what is allowed.
    """
    inner, optional = _without_none(annotation)
    if inner is Any or (optional and value is None):
        return value
    if typing.get_origin(inner) is list and isinstance(value, list):
        (entry_type,) = typing.get_args(inner)
        return [from_plain(f"{key}[{i}]", entry, entry_type) for i, entry in enumerate(value)]
    if isinstance(inner, type):
        if issubclass(inner, enum.Enum) and isinstance(value, str) and value in inner.__members__:
            return inner[value]
        if type(value) is inner:  # a bool is no number
            return value
        if inner is float and type(value) is int:
            return float(value)
    hint = "; YAML reads 1e-5 as text, and 1.0e-5 as a number" if inner is float and isinstance(value, str) else ""
    raise ValueError(f"{key}={reprlib.repr(value)} must be {in_words(annotation)}{hint}")


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """The type without `| None`, and whether it had that."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        (inner,) = (part for part in typing.get_args(annotation) if part is not types.NoneType)
        return inner, True
    return annotation, False
