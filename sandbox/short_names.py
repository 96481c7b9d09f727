"""Names short enough for a figure or a line of a terminal, of which no two are equal."""

import itertools
from collections.abc import Callable, Iterable

LONGEST = 48
"""Most letters of a short name, if nothing else is said."""


def short_names(
    names: Iterable[str],
    taken: Iterable[str] = (),
    spelt: Callable[[str], str] = str,
    longest: int = LONGEST,
) -> dict[str, str]:
    """Each name `shortened`, and then as `spelt` writes it; numbered where it would equal another or a `taken`."""
    used = set(taken)
    return {name: distinct(spelt(shortened(name, longest)), used) for name in dict.fromkeys(names)}


def shortened(name: str, longest: int = LONGEST) -> str:
    """The name on one line, with an ellipsis for what is too long; its end stays, where names often differ."""
    line, tail = " ".join(name.split()), longest // 3
    return line if len(line) <= longest else f"{line[: longest - tail - 1]}…{line[-tail:]}"


def distinct(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken already; it is taken from then on."""
    numbered = (f"{name} ({number})" for number in itertools.count(2))
    free = next(text for text in itertools.chain([name], numbered) if text not in taken)
    taken.add(free)
    return free
