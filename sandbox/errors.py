"""Errors that a user causes and can correct."""


class InputError(ValueError):
    """An option or a file cannot be used; the message is one line, fit to be shown as it is."""
