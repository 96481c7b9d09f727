"""Options that take one number or a list of them, such as `task.pairs=4` and `task.pairs=[4,8]`."""

from collections.abc import Mapping
from typing import Any


def entries(key: str, value: Any) -> list[tuple[str, Any]]:
    """The numbers of an option, each with its key for error messages."""
    if isinstance(value, tuple):
        return [(f"{key}[{i}]", entry) for i, entry in enumerate(value)]
    return [(key, value)]


def side_by_side(options: Mapping[str, Any]) -> tuple[tuple[Any, ...], ...]:
    """The i-th entries of all options together, for each i; one number stands for a list of equal entries.

    Raises:
        ValueError: lists that are empty or differ in length.
    """
    lists = {name: value for name, value in options.items() if isinstance(value, tuple)}
    if len({len(value) for value in lists.values()}) > 1 or () in lists.values():
        given = ", ".join(f"task.{name}={list(value)}" for name, value in lists.items())
        raise ValueError(f"{given} must have equally many entries, at least one; a number holds for all")
    count = max((len(value) for value in lists.values()), default=1)
    return tuple(zip(*(v if isinstance(v, tuple) else (v,) * count for v in options.values()), strict=True))
