"""Which implementation ran: noted where it is chosen, while a program is traced.

    with noted_implementations() as noted:
        jax.eval_shape(program, *arguments)
    noted.names     # ["chunked"]

A program that `jax.jit` has traced before is not traced again, and notes nothing.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Choice:
    """One choice of an implementation; `name` changes if the program turns out to be differentiated."""

    name: str


@dataclass
class Noted:
    """The choices noted in one scope, in order."""

    choices: list[Choice] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Each implementation that ran, without repetitions."""
        return list(dict.fromkeys(choice.name for choice in self.choices))


_scope: contextvars.ContextVar[Noted | None] = contextvars.ContextVar("noted", default=None)


def note_implementation(name: str) -> Choice:
    """Notes `name` in the scope of `noted_implementations`, if there is one."""
    choice = Choice(name)
    if (noted := _scope.get()) is not None:
        noted.choices.append(choice)
    return choice


@contextlib.contextmanager
def noted_implementations() -> Iterator[Noted]:
    """Collects the choices made within its scope, except those in an inner scope."""
    token = _scope.set(noted := Noted())
    try:
        yield noted
    finally:
        _scope.reset(token)
