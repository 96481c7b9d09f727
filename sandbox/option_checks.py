"""Checks of options: each refusal is one ValueError line with the key, the value and what is allowed."""

import enum
import math


def check_at_least(key: str, value: int | float, least: int | float) -> None:
    """Refuse a number below `least`, and one that is infinite or none."""
    if not least <= value < math.inf:
        raise ValueError(f"{key}={value} must be at least {least}" + (" and finite" if value >= least else ""))


def check_divides(part: str, parts: int, whole: str, size: int) -> None:
    """Refuse `parts` that do not divide `size`; `part` and `whole` are their keys."""
    if size % parts:
        raise ValueError(f"{whole}={size} must be divisible by {part}={parts}")


def check_whole_number(key: str, value: object, minimum: int) -> None:
    """Refuse anything but an `int >= minimum`; a bool is not a number here."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{key}={value!r} must be a whole number >= {minimum}")


def check_positive_number(key: str, value: object) -> None:
    """Refuse anything but a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{key}={value!r} must be a number > 0")


def check_share(key: str, value: object) -> None:
    """Refuse anything but a number from 0 on and below 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{key}={value!r} must be a number >= 0 and < 1")


def check_choice(key: str, value: object, choices: type[enum.Enum]) -> None:
    """Refuse anything but a member of the enum."""
    if not isinstance(value, choices):
        allowed = ", ".join(choices.__members__)
        raise ValueError(f"{key}={value!r} must be a {choices.__name__}, one of: {allowed}")


def whole_numbers(key: str, value: object, minimum: int) -> tuple[int, ...]:
    """The list of whole numbers that YAML or Hydra gives, as a hashable tuple; refuse anything else."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key}={value!r} must be a list of whole numbers >= {minimum}")
    for i, number in enumerate(value):
        check_whole_number(f"{key}[{i}]", number, minimum)
    return tuple(value)


def check_order(group: str, config: object, smaller: str, larger: str) -> None:
    """Refuse a config of `group` whose option `larger` is below its option `smaller`."""
    low, high = getattr(config, smaller), getattr(config, larger)
    if high < low:
        raise ValueError(f"{group}.{larger}={high} must be >= {group}.{smaller}, got {group}.{smaller}={low}")
