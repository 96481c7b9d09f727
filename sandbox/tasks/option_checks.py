"""Checks of task options; every refusal is one line that names the key, the value and what is allowed."""

import enum
import math


def check_whole_number(name: str, value: object, minimum: int) -> None:
    """Refuse anything but an `int >= minimum`; a bool is not a number here."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"task.{name}={value!r} must be a whole number >= {minimum}")


def check_positive_number(name: str, value: object) -> None:
    """Refuse anything but a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"task.{name}={value!r} must be a number > 0")


def check_choice(name: str, value: object, choices: type[enum.Enum]) -> None:
    """Refuse anything but a member of the enum."""
    if not isinstance(value, choices):
        allowed = ", ".join(choices.__members__)
        raise ValueError(f"task.{name}={value!r} must be a {choices.__name__}, one of: {allowed}")
