"""Checks of options: each raises ValueError, one line with the key, the value and what is allowed."""

import enum
import math
import pathlib

AUTO = "auto"
"""The value of `jobs` that lets the machine decide."""


LARGEST = 2**31 - 1
"""The largest whole number of an option: devices count, and seed, in int32, where larger ones become others."""


def check_at_least(key: str, value: int | float, least: int | float) -> None:
    """Reject a number below `least`, one that is infinite or NaN, or a whole one beyond `LARGEST`."""
    if isinstance(value, int):
        check_at_most(key, value, LARGEST)
    if not least <= value < math.inf:
        raise ValueError(f"{key}={value} must be at least {least}" + (" and finite" if value >= least else ""))


def check_at_most(key: str, value: int | float, most: int | float) -> None:
    """Reject a number above `most`."""
    if value > most:
        raise ValueError(f"{key}={value} must be at most {most}")


def check_divides(part: str, parts: int, whole: str, size: int) -> None:
    """Reject `parts` that do not divide `size`; `part` and `whole` are their keys."""
    if size % parts:
        raise ValueError(f"{whole}={size} must be divisible by {part}={parts}")


def check_order(smaller_key: str, smaller: int, larger_key: str, larger: int) -> None:
    """Reject a larger option that is below the smaller one."""
    if larger < smaller:
        raise ValueError(f"{larger_key}={larger} must be at least {smaller_key}={smaller}")


def check_needs(asking: str, key: str, value: int, least: int, because: str = "") -> None:
    """Reject an option below what another one needs.

    `asking` is the other option and its value, such as `task.pairs=20`; `because` says how `least` follows.
    """
    if value < least:
        reason = f" ({because})" if because else ""
        raise ValueError(f"{asking} needs {key} of at least {least}{reason}, got {key}={value}")


def check_whole_number(key: str, value: object, least: int) -> None:
    """Reject anything but an `int` of at least `least`; a bool is not a number here."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{key}={value!r} must be a whole number of at least {least}")
    check_at_most(key, value, LARGEST)


def check_whole_numbers(key: str, value: object, least: int) -> None:
    """Reject anything but a list or tuple of whole numbers of at least `least`."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key}={value!r} must be a list of whole numbers of at least {least}")
    for i, number in enumerate(value):
        check_whole_number(f"{key}[{i}]", number, least)


def check_even(key: str, value: int) -> None:
    """Reject odd numbers."""
    if value % 2:
        raise ValueError(f"{key}={value} must be even")


def check_positive_number(key: str, value: object) -> None:
    """Reject anything but a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{key}={value!r} must be a finite number above 0")


def check_share(key: str, value: object) -> None:
    """Reject anything but a number that is at least 0 and below 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{key}={value!r} must be at least 0 and below 1")


def check_flag(key: str, value: object) -> None:
    """Reject anything but a bool."""
    if not isinstance(value, bool):
        raise ValueError(f"{key}={value!r} must be true or false")


def check_texts(key: str, value: object) -> None:
    """Reject anything but a list or tuple of texts."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key}={value!r} must be a list of texts")
    for i, text in enumerate(value):
        if not isinstance(text, str):
            raise ValueError(f"{key}[{i}]={text!r} must be text")


JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Characters that do not print and belong to texts: to emoji, and to words in Persian or Hindi."""


def check_not_blank(key: str, value: str) -> None:
    """Reject an empty text, or one with line breaks or other characters that do not print."""
    if not value.strip(" " + JOINERS):
        raise ValueError(f"{key}={value!r} must be one line of text, and not empty")
    if hidden := [letter for letter in value if not letter.isprintable() and letter not in JOINERS]:
        raise ValueError(f"{key}={value!r} must be one line of text: {hidden[0]!r} does not print")


def check_folder_name(key: str, value: str) -> None:
    """Reject what is not the name of one visible folder, such as a path."""
    check_not_blank(key, value)
    if pathlib.PurePath(value).name != value or value.startswith(".") or value != value.strip():
        raise ValueError(f"{key}={value!r} must be the name of one folder, without / and without a dot before it")


def check_choice(key: str, value: object, choices: type[enum.Enum]) -> None:
    """Reject anything but a member of the enum `choices`."""
    if not isinstance(value, choices):
        allowed = ", ".join(choices.__members__)
        raise ValueError(f"{key}={value!r} must be a {choices.__name__}, one of: {allowed}")


def check_jobs(jobs: object) -> None:
    """Reject a number of jobs that is neither `auto` nor a whole number of at least 1."""
    if jobs != AUTO and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ValueError(f"jobs={jobs} must be {AUTO} or a whole number of at least 1")
