"""Errors that a user causes and can correct, what messages about them share, and the warning about a bad file."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """An option or a file cannot be used; the message is one line, fit to be shown as it is."""


class DamagedFile(InputError):
    """A file of a run is not what the run wrote; the message begins with its path."""


class NoSpace(RuntimeError):
    """The disk took no more; the message is one line, fit to be shown as it is."""


class DamagedFileWarning(UserWarning):
    """A damaged file was passed over; the message begins with its path and says what is done instead."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names, as ` (did you mean gla?)`, to append to a message; empty if none is near."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def yaml_error_line(error: Exception) -> str:
    """Where and why PyYAML could not read a text, in one line."""
    mark, reason = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
    place = f"line {mark.line + 1}: " if mark else ""
    return place + " ".join(reason.split())
