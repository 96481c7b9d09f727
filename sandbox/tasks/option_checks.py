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


def check_share(name: str, value: object) -> None:
    """Refuse anything but a number from 0 on and below 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"task.{name}={value!r} must be a number >= 0 and < 1")


def check_choice(name: str, value: object, choices: type[enum.Enum]) -> None:
    """Refuse anything but a member of the enum."""
    if not isinstance(value, choices):
        allowed = ", ".join(choices.__members__)
        raise ValueError(f"task.{name}={value!r} must be a {choices.__name__}, one of: {allowed}")


def whole_numbers(name: str, value: object, minimum: int) -> tuple[int, ...]:
    """The list of whole numbers that YAML or Hydra gives, as a hashable tuple; refuse anything else."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"task.{name}={value!r} must be a list of whole numbers >= {minimum}")
    for i, number in enumerate(value):
        check_whole_number(f"{name}[{i}]", number, minimum)
    return tuple(value)


def check_order(task: object, smaller: str, larger: str) -> None:
    """Refuse a `larger` option below the `smaller` one."""
    low, high = getattr(task, smaller), getattr(task, larger)
    if high < low:
        raise ValueError(f"task.{larger}={high} must be >= task.{smaller}, got task.{smaller}={low}")
