"""Taps: where a probe sees what a mixer writes to its memory and what it reads from it, and adds to the former.

    with taps() as tapped:
        mixer(x)
    tapped.values, tapped.read    # the values written and what was read, in order

A mixer says which arrays these are with `tap_values` and `tap_read`; a scan says so by itself, unless the mixer
that calls it has. Outside of the block both functions return their argument. While it is open, scans run by their
definition, `Rule.step`, which `jax.jvp` differentiates.
"""

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Array, Num


@dataclass
class Taps:
    """What went through the taps in one block."""

    added: Sequence[Num[Array, "..."]] = ()
    """Added to the first values that pass, to the second, …; nothing is added to later ones."""
    values: list[Num[Array, "..."]] = field(default_factory=list)
    """The values that were written, `[B, T, …]`, before anything was added."""
    read: list[Num[Array, "..."]] = field(default_factory=list)
    """What was read from memory, `[B, T, …]`: linear in the values, as long as all else is held."""
    scans: list[tuple[Any, Any]] = field(default_factory=list)
    """The rule and the inputs of each scan."""
    by_mixer: bool = False
    """Whether the mixer has named its values itself."""

    def pass_values(self, values: Num[Array, "..."]) -> Num[Array, "..."]:
        """Notes the values, and adds what is to be added."""
        number = len(self.values)
        self.values.append(values)
        return values + self.added[number] if number < len(self.added) else values


_open: contextvars.ContextVar[Taps | None] = contextvars.ContextVar("taps", default=None)


def open_taps() -> Taps | None:
    """The taps of the innermost block, if there is one."""
    return _open.get()


def tap_values(values: Num[Array, "B T *rest"]) -> Num[Array, "B T *rest"]:
    """The values that a mixer writes to its memory."""
    if (tapped := _open.get()) is None:
        return values
    tapped.by_mixer = True
    return tapped.pass_values(values)


def tap_read(read: Num[Array, "B T *rest"]) -> Num[Array, "B T *rest"]:
    """What a mixer that called `tap_values` reads from its memory."""
    if (tapped := _open.get()) is not None and tapped.by_mixer:
        tapped.read.append(read)
    return read


@contextlib.contextmanager
def taps(added: Sequence[Num[Array, "..."]] = ()) -> Iterator[Taps]:
    """Opens the taps for its block."""
    token = _open.set(tapped := Taps(added))
    try:
        yield tapped
    finally:
        _open.reset(token)
