"""Small groups as multiplication tables."""

import enum
import functools
import itertools

import numpy as np
from jaxtyping import Int

Element = tuple[int, ...]


class Group(enum.Enum):
    """The groups of the word problem."""

    Z60 = "Z60"
    """Cyclic of order 60: sums modulo 60. Abelian."""
    A4xZ5 = "A4xZ5"
    """Pairs of an even permutation of 4 items and a sum modulo 5, order 60. Solvable, not abelian."""
    A5 = "A5"
    """Even permutations of 5 items, order 60. Simple, so not solvable: its word problem is complete for NC1."""
    S3 = "S3"
    """Permutations of 3 items, order 6. Solvable, not abelian."""
    S5 = "S5"
    """Permutations of 5 items, order 120. Not solvable."""


@functools.cache
def elements(group: Group) -> tuple[Element, ...]:
    """Every element; the identity is the first.

    A permutation is the list of its images, in lexicographic order; a sum is a list of one number; an element of a
    direct product is both lists, one after the other.
    """
    match group:
        case Group.Z60:
            return _cyclic(60)
        case Group.A4xZ5:
            return tuple(a + z for a in _even(4) for z in _cyclic(5))
        case Group.A5:
            return _even(5)
        case Group.S3:
            return _permutations(3)
        case Group.S5:
            return _permutations(5)


def product(group: Group, first: Element, then: Element) -> Element:
    """The product of `first` and `then`; of permutations, i goes to `then[first[i]]`."""
    match group:
        case Group.Z60:
            return ((first[0] + then[0]) % 60,)
        case Group.A4xZ5:
            return (*_compose(first[:4], then[:4]), (first[4] + then[4]) % 5)
        case _:
            return _compose(first, then)


@functools.cache
def multiplication_table(group: Group) -> Int[np.ndarray, "order order"]:
    """Entry [i, j] is the index of the product of elements i and j."""
    all_elements = elements(group)
    number = {element: i for i, element in enumerate(all_elements)}
    table = [[number[product(group, first, then)] for then in all_elements] for first in all_elements]
    return np.array(table, dtype=np.int32)


def _compose(first: Element, then: Element) -> Element:
    return tuple(then[image] for image in first)


def _cyclic(order: int) -> tuple[Element, ...]:
    return tuple((number,) for number in range(order))


def _permutations(items: int) -> tuple[Element, ...]:
    return tuple(itertools.permutations(range(items)))


def _even(items: int) -> tuple[Element, ...]:
    return tuple(p for p in _permutations(items) if sum(a > b for a, b in itertools.combinations(p, 2)) % 2 == 0)
