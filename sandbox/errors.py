"""Errors that people cause and can mend."""


class InputError(ValueError):
    """Something that was asked for or read cannot be used; the message is one line, to be shown as it is."""
