"""Records which implementations a program uses, while jax traces it.

    with noted_implementations() as noted:
        jax.eval_shape(program, *arguments)
    noted.names     # ["chunked"]

A program that `jax.jit` has already traced records nothing.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Choice:
    """One choice of an implementation; differentiating the program may change its `name`."""

    name: str


@dataclass
class Noted:
    """The choices recorded in one scope, in order."""

    choices: list[Choice] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The implementations that ran, each once."""
        return list(dict.fromkeys(choice.name for choice in self.choices))


_scope: contextvars.ContextVar[Noted | None] = contextvars.ContextVar("noted", default=None)


def note_implementation(name: str) -> Choice:
    """Records `name` in the innermost `noted_implementations`, if any."""
    choice = Choice(name)
    if (noted := _scope.get()) is not None:
        noted.choices.append(choice)
    return choice


@contextlib.contextmanager
def noted_implementations() -> Iterator[Noted]:
    """Records the choices made in its block, except those in an inner block."""
    token = _scope.set(noted := Noted())
    try:
        yield noted
    finally:
        _scope.reset(token)
