"""Slices, the parts of a split that are scored separately: `pairs=16`, or `all` for every example."""

from collections.abc import Iterable, Sequence

from sandbox.errors import InputError
from sandbox.results import ALL_EXAMPLES

MOST_SHOWN = 8
"""Most slices, besides `all`, that a table or a heatmap shows."""


def parse_slice(name: str) -> tuple[str, float | None]:
    """The key and the number of a slice: ("pairs", 16.0) for `pairs=16`. The number is None if there is none."""
    key, _, value = name.partition("=")
    try:
        return key, float(value)
    except ValueError:
        return key, None


def order_slices(names: Iterable[str]) -> list[str]:
    """Each slice once: keys in order of first appearance, numbers increasing, `all` last."""
    unique = list(dict.fromkeys(names))
    parsed = {name: parse_slice(name) for name in unique}
    keys = list(dict.fromkeys(key for key, _ in parsed.values()))

    def rank(name: str) -> tuple[bool, int, bool, float]:
        key, number = parsed[name]
        return name == ALL_EXAMPLES, keys.index(key), number is None, number or 0.0

    return sorted(unique, key=rank)


def difficulties(names: Iterable[str]) -> list[str]:
    """The ordered slices without `all`, or `all` if it is the only one."""
    ordered = order_slices(names)
    return [name for name in ordered if name != ALL_EXAMPLES] or ordered


def a_few_of(names: Iterable[str]) -> list[str]:
    """At most `MOST_SHOWN` slices and `all`: if there are more, equally many of each key, including its ends.

    Only `all` if there are too many keys to show both ends of each, as in a sweep over several tasks.
    """
    ordered = order_slices(names)
    by_key: dict[str, list[str]] = {}
    for name in difficulties(ordered):
        by_key.setdefault(parse_slice(name)[0], []).append(name)
    if sum(map(len, by_key.values())) <= MOST_SHOWN:
        return ordered
    each = MOST_SHOWN // len(by_key)
    kept = {ALL_EXAMPLES} | {name for of_key in by_key.values() if each > 1 for name in _evenly(of_key, each)}
    return [name for name in ordered if name in kept]


def _evenly(names: Sequence[str], count: int) -> list[str]:
    last = len(names) - 1
    return list(dict.fromkeys(names[round(i * last / (count - 1))] for i in range(count)))


def choose_slice(names: Iterable[str], wanted: str | None = None) -> str:
    """The wanted slice, or the hardest: that with the largest number of the first key that has numbers.

    `all` if no slice has a number. Raises InputError if the wanted slice does not exist.
    """
    ordered = order_slices(names)
    if wanted is not None:
        if wanted not in ordered:
            raise InputError(f"--slice {wanted!r}: no such slice; there are {', '.join(ordered)}")
        return wanted
    numbered = [name for name in ordered if parse_slice(name)[1] is not None]
    if numbered:
        key = parse_slice(numbered[0])[0]
        return [name for name in numbered if parse_slice(name)[0] == key][-1]
    return ALL_EXAMPLES if ALL_EXAMPLES in ordered else ordered[0]
