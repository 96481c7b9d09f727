"""The difficulties that a task is scored on: `pairs=16` is a slice, `all` is everything together."""

from collections.abc import Iterable, Sequence

from sandbox.errors import InputError

ALL = "all"

MOST_SHOWN = 8
"""Slices, besides `all`, that a table or a map has room for."""


def parse_slice(name: str) -> tuple[str, float | None]:
    """The key and the number of a slice: ("pairs", 16.0) for `pairs=16`; None where there is no number."""
    key, _, value = name.partition("=")
    try:
        return key, float(value)
    except ValueError:
        return key, None


def order_slices(names: Iterable[str]) -> list[str]:
    """Each slice once: by key as first seen and number, easy before hard; `all` last."""
    unique = list(dict.fromkeys(names))
    parsed = {name: parse_slice(name) for name in unique}
    keys = list(dict.fromkeys(key for key, _ in parsed.values()))

    def rank(name: str) -> tuple[bool, int, bool, float]:
        key, number = parsed[name]
        return name == ALL, keys.index(key), number is None, number or 0.0

    return sorted(unique, key=rank)


def difficulties(names: Iterable[str]) -> list[str]:
    """The slices without `all`, or `all` where there is nothing else."""
    ordered = order_slices(names)
    return [name for name in ordered if name != ALL] or ordered


def a_few_of(names: Iterable[str]) -> list[str]:
    """At most `MOST_SHOWN` slices and `all`: where there are more, evenly many of each key, its ends among them.

    Only `all` where there are so many keys that none could show both ends, as in a sweep over several tasks.
    """
    ordered = order_slices(names)
    by_key: dict[str, list[str]] = {}
    for name in difficulties(ordered):
        by_key.setdefault(parse_slice(name)[0], []).append(name)
    if sum(map(len, by_key.values())) <= MOST_SHOWN:
        return ordered
    each = MOST_SHOWN // len(by_key)
    kept = {ALL} | {name for of_key in by_key.values() if each > 1 for name in _evenly(of_key, each)}
    return [name for name in ordered if name in kept]


def _evenly(names: Sequence[str], count: int) -> list[str]:
    last = len(names) - 1
    return list(dict.fromkeys(names[round(i * last / (count - 1))] for i in range(count)))


def choose_slice(names: Iterable[str], wanted: str | None = None) -> str:
    """The slice that is asked for, or the hardest: the largest number of the first key that has numbers.

    `all` where no slice has a number. Raises InputError where the wanted slice does not exist.
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
    return ALL if ALL in ordered else ordered[0]
