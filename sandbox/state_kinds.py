"""The kind of each array of a decode state, declared in the annotation of its field:

class GLAState(NamedTuple):
    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]
"""

import enum
import functools
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import jax


class StateKind(enum.Enum):
    """Role of an array in a decode state."""

    memory = "recurrent memory"
    cache = "cache of tokens"
    convolution = "window of a convolution"
    token_shift = "last token"
    normaliser = "normaliser"
    counter = "counter"


def kinds_of(state: Any) -> Iterator[tuple[StateKind, Any]]:
    """Every array of a state with its kind. A state is a named tuple of arrays, of states, or of None.

    Raises TypeError for an array without a declared kind.
    """
    if not isinstance(state, tuple):
        raise TypeError(
            f"a decode state is a named tuple whose fields declare a StateKind, got {type(state).__name__}"
        )
    names = getattr(state, "_fields", range(len(state)))
    for name, value in zip(names, state, strict=True):
        if isinstance(value, tuple):
            yield from kinds_of(value)
        elif leaves := jax.tree.leaves(value):
            kind = _declared(type(state)).get(name)
            if kind is None:
                raise TypeError(f"{type(state).__name__}.{name} declares no StateKind: Annotated[…, StateKind.…]")
            yield from ((kind, leaf) for leaf in leaves)


@functools.cache
def _declared(state_type: type) -> dict[str, StateKind]:
    """The declared kind of each field, including fields of type `Annotated[…] | None`."""
    declared: dict[str, StateKind] = {}
    for name, hint in get_type_hints(state_type, include_extras=True).items():
        for option in (hint, *get_args(hint)):
            if get_origin(option) is Annotated:
                declared.update((name, kind) for kind in get_args(option)[1:] if isinstance(kind, StateKind))
    return declared
