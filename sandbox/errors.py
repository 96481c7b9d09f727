"""Errors that a user causes and can correct, and the warning about a file that cannot be used."""


class InputError(ValueError):
    """An option or a file cannot be used; the message is one line, fit to be shown as it is."""


class DamagedFile(InputError):
    """A file of a run is not what the run wrote; the message begins with its path."""


class NoSpace(RuntimeError):
    """The disk took no more; the message is one line, fit to be shown as it is."""


class DamagedFileWarning(UserWarning):
    """A damaged file was passed over; the message begins with its path and says what is done instead."""
