"""The memory layout of the arrays of a kernel, and the block of each that a program accesses.

Arrays per head are `[B, H, rows, columns]`. Arrays per token are `[B, H, T, …]` if the chunks of a head are
programs of the grid, and `[B, T, H, …]` if one program loops over them. An array without columns that every tile
writes has a leading axis of tiles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.typing import DTypeLike
from jaxtyping import Array

from sandbox.scans.kernels.plan import Leaf, Plan


@dataclass(frozen=True)
class Block:
    """An array in memory, and the block of it that a program accesses."""

    array: jax.ShapeDtypeStruct
    spec: pl.BlockSpec
    shape: tuple[int, ...]
    """Shape of the block."""


class Axis(NamedTuple):
    """One axis of an array: its size, that of a block (None: one, squeezed), and the block index of a program."""

    size: int
    block: int | None
    index: Callable[..., Any] = lambda *program: 0


class Memory:
    """Makes the blocks of a grid `(B, H, tiles)` or `(B, H, tiles, chunks)`."""

    def __init__(self, plan: Plan, *, chunks_in_grid: bool, backwards: bool = False) -> None:
        self._plan = plan
        self._chunks_in_grid = chunks_in_grid
        self._backwards = backwards
        self.grid = (plan.batch, plan.heads, plan.num_tiles, *([plan.num_chunks] if chunks_in_grid else []))

    def per_head(self, leaf: Leaf, *, written: bool = False) -> Block:
        """One matrix per head."""
        return _block([*self._sequences(leaf, written), self._heads, *self._features(leaf, leaf.matrix)])

    def per_token(self, leaf: Leaf, *, written: bool = False, dtype: DTypeLike = jnp.float32) -> Block:
        """One array per token."""
        plan = self._plan
        time = self._time(plan.num_chunks * plan.chunk_size, plan.chunk_size)
        time_and_heads = [self._heads, time] if self._chunks_in_grid else [time, self._heads]
        axes = [*self._sequences(leaf, written), *time_and_heads, *self._features(leaf, leaf.features)]
        return _block(axes, dtype)

    def per_chunk(self, leaf: Leaf) -> Block:
        """One matrix per chunk, for the states that the backward pass needs."""
        chunks = self._time(self._plan.num_chunks, 1)
        return _block([*self._sequences(leaf, True), self._heads, chunks, *self._features(leaf, leaf.matrix)])

    def of_one_chunk(self, leaf: Leaf) -> Block:
        """One matrix per token of a chunk: scratch memory."""
        tokens = Axis(self._plan.chunk_size, self._plan.chunk_size)
        return _block([*self._sequences(leaf, True), self._heads, tokens, *self._features(leaf, leaf.matrix)])

    @property
    def _heads(self) -> Axis:
        return Axis(self._plan.heads, None, lambda b, h, *rest: h)

    def _sequences(self, leaf: Leaf, written: bool) -> list[Axis]:
        batch = Axis(self._plan.batch, None, lambda b, *rest: b)
        if not written:
            return [Axis(1, None) if leaf.shared else batch]
        tiles = Axis(self._plan.num_tiles, None, lambda b, h, v, *rest: v)
        return [tiles, batch] if self._plan.repeats(leaf) else [batch]

    def _time(self, size: int, of_a_chunk: int) -> Axis:
        if not self._chunks_in_grid:
            return Axis(size, size)
        last = self._plan.num_chunks - 1
        return Axis(size, of_a_chunk, lambda b, h, v, chunk: last - chunk if self._backwards else chunk)

    def _features(self, leaf: Leaf, shape: tuple[int, ...]) -> list[Axis]:
        if not leaf.has_columns:
            return [Axis(size, size) for size in shape]
        columns = Axis(shape[-1] * self._plan.num_tiles, shape[-1], lambda b, h, v, *rest: v)
        return [*(Axis(size, size) for size in shape[:-1]), columns]


def _block(axes: list[Axis], dtype: DTypeLike = jnp.float32) -> Block:
    def index(*program: Any) -> tuple[Any, ...]:
        return tuple(axis.index(*program) for axis in axes)

    return Block(
        array=jax.ShapeDtypeStruct(tuple(axis.size for axis in axes), dtype),
        spec=pl.BlockSpec(tuple(axis.block for axis in axes), index),
        shape=tuple(axis.block for axis in axes if axis.block is not None),
    )


def pad(array: Array, leaf: Leaf, num_tiles: int, *, at_least: int) -> Array:
    """Pads the features of an array with zeros, and adds axes of one up to `at_least` feature axes."""
    rank = len(leaf.true_shape)
    shape = (*leaf.shape[:-1], leaf.shape[-1] * num_tiles) if leaf.has_columns else leaf.shape
    widths = [(0, size - true_size) for size, true_size in zip(shape, leaf.true_shape, strict=True)]
    leading = array.ndim - rank
    array = jnp.pad(array, [(0, 0)] * leading + widths)
    return array.reshape(*array.shape[:leading], *[1] * (at_least - rank), *shape)


def crop(array: Array, leaf: Leaf, *, leading: int) -> Array:
    """Undoes `pad`; the features follow `leading` other axes."""
    features = array.shape[array.ndim - len(leaf.true_shape) :]
    array = array.reshape(*array.shape[:leading], *features)
    return array[(..., *(slice(size) for size in leaf.true_shape))]
