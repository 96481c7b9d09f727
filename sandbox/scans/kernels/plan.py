"""The sizes of a kernel: tokens per chunk, the padding of features, and the width of a tile of columns.

A program of a kernel holds the state of one head of one sequence on the chip and processes its tokens. If the V
columns of a state do not mix, they are divided into tiles, each with its own program. Features are padded with
zeros to sizes that the hardware supports, and time with tokens that leave the state as it is.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from sandbox.scans.kernels.traced import reused_operands, shortest_side, trace
from sandbox.scans.kernels.vector_products import sum_vector_products
from sandbox.scans.layout import (
    compute_dtype,
    matmul_precision,
    next_power_of_two,
    num_tokens,
    split_fixed,
    states_with_columns,
)
from sandbox.scans.rule import Inputs, Rule, State

SHORTEST_CHUNK = 16
"""Fewest rows of a matrix unit; shorter sequences are padded."""


@dataclass(frozen=True)
class ChipSizes:
    """The sizes that a kind of accelerator allows or prefers."""

    name: str

    pad_feature: Callable[[int], int]
    """The padded size of a feature axis; an axis of one is not padded."""

    pad_columns: Callable[[int], int]
    """The padded number of V columns, or of those in a tile."""

    widest_tile: int
    """Largest number of columns per program, for rules whose columns do not mix."""

    preferred_state: int
    """Number of floats in the state of a program above which its tile is made narrower."""

    largest_state: int
    """Largest number of floats in the state of a program."""

    steps_along_an_axis: bool
    """Whether single steps need a leading axis of one, because arrays on this chip have at least two axes."""

    shortest_side: int
    """Fewest rows or columns of a matrix in a product."""

    reused_operands: int
    """Largest size in bytes of the operands that several products in the gradient of a chunk share."""

    longest_chunk: int
    """Largest chunk in tokens; also the default."""

    longest_loop: int
    """`longest_chunk` of rules without a chunk form, whose chunks are loops of single steps."""

    kept_states: int
    """Largest number of floats in the states of such a loop, which its backward pass keeps."""


@dataclass(frozen=True)
class Leaf:
    """One array of one head, and of one token if it varies over time, as a program sees it."""

    shape: tuple[int, ...]
    """The feature axes, padded; if the last one is columns, it has the width of a tile."""

    true_shape: tuple[int, ...]
    """The feature axes before padding and tiling."""

    has_columns: bool
    """Whether the last axis is the V columns, which are divided into tiles."""

    shared: bool = False
    """Whether this is an input that all sequences share."""

    leading: tuple[int, ...] = ()
    """Axes before the feature axes in a single step."""

    @property
    def matrix(self) -> tuple[int, int]:
        """The shape in memory of an array per head: a scalar or a vector is one row."""
        rows, columns = (1, 1, *self.shape)[-2:]
        return rows, columns

    @property
    def features(self) -> tuple[int, ...]:
        """The shape in memory of an array per token: a scalar is a vector of one."""
        return self.shape or (1,)


@dataclass(frozen=True)
class Plan:
    """The sizes of one run; trees of `Leaf` represent trees of arrays."""

    rule: Rule
    batch: int
    heads: int
    tokens: int
    chunk_size: int
    num_tiles: int
    state: Any
    varying: Any
    fixed: Any
    outputs: Any
    output_dtype: DTypeLike
    precision: str

    @property
    def num_chunks(self) -> int:
        """Number of chunks of a sequence; the last one may be padded."""
        return -(-self.tokens // self.chunk_size)

    def repeats(self, leaf: Leaf) -> bool:
        """Whether several tiles hold and write the same array."""
        return self.num_tiles > 1 and not leaf.has_columns


def why_not(chip: ChipSizes, rule: Rule, *, rows: int, columns: int, dtype: DTypeLike) -> str | None:
    """Why `rule` has no kernel on `chip` for states of `rows` by `columns` in `dtype`; None if it has one."""
    if dtype != jnp.float32:
        return f"kernels compute in float32, and these inputs need {jnp.dtype(dtype)}"
    _, tile = _tiles(chip, rule, rows, columns)
    floats = _pad_feature(chip, rows) * tile
    if floats <= chip.largest_state:
        return None
    part = f"a tile of {tile}" if rule.column_inputs else f"all {columns}"
    return (
        f"{part} columns of a state with {rows} rows is {floats} floats when padded, "
        f"and a program on a {chip.name} holds at most {chip.largest_state}"
    )


def rows_and_columns_of(state: State) -> tuple[int, int]:
    """Rows and columns of the largest array in a state with leaves `[B, H, …]`; a vector is one row."""
    sizes = [(1, 1, *leaf.shape[2:])[-2:] for leaf in jax.tree.leaves(state)]
    return max(sizes, key=lambda size: size[0] * size[1])


def plan_kernel(
    chip: ChipSizes,
    rule: Rule,
    state: State,
    inputs: Inputs,
    *,
    dtype: DTypeLike,
    chunk_size: int | None,
    precision: str | None = None,
) -> Plan:
    """The sizes of the kernel on `chip` that runs `rule`; leaves as `layout` describes them.

    `precision` is the default precision of products; None chooses it by the inputs.

    Raises:
        NotImplementedError: the state is too large, or an input is float64.
    """
    rows, columns = rows_and_columns_of(state)
    reason = why_not(chip, rule, rows=rows, columns=columns, dtype=compute_dtype(inputs))
    if reason is not None:
        raise NotImplementedError(f"{rule.name}: {reason}")
    num_tiles, tile = _tiles(chip, rule, rows, columns)
    leaves = _leaves(chip, rule, state, inputs, tile)
    tokens = num_tokens(inputs)
    longest = min(chunk_size or chip.longest_loop, chip.longest_loop, next_power_of_two(tokens))
    rule, size = _fit(chip, rule, leaves[:3], longest)
    if rule.chunk is None:
        rule = dataclasses.replace(rule, step=sum_vector_products(rule.step))
    if rule.chunk is None and chip.steps_along_an_axis:
        rule = dataclasses.replace(rule, step=jax.vmap(rule.step))
        leaves = jax.tree.map(lambda leaf: dataclasses.replace(leaf, leading=(1,)), leaves)
    batch, heads = jax.tree.leaves(state)[0].shape[:2]
    return Plan(
        rule=rule,
        batch=batch,
        heads=heads,
        tokens=tokens,
        chunk_size=size,
        num_tiles=num_tiles,
        state=leaves[0],
        varying=leaves[1],
        fixed=leaves[2],
        outputs=leaves[3],
        output_dtype=jnp.float32 if rule.chunk is None else dtype,
        precision=precision or matmul_precision(inputs),
    )


def _leaves(chip: ChipSizes, rule: Rule, state: State, inputs: Inputs, tile: int) -> tuple[Any, ...]:
    batch = jax.tree.leaves(state)[0].shape[0]

    def leaf_of(true_shape: tuple[int, ...], has_columns: bool, shared: bool = False) -> Leaf:
        shape = tuple(_pad_feature(chip, size) for size in true_shape)
        return Leaf((*shape[:-1], tile) if has_columns else shape, true_shape, has_columns, shared)

    def leaves_of(some: Inputs) -> Inputs:
        leaves = {
            name: leaf_of(array.shape[3:], name in rule.column_inputs, array.shape[0] == 1 and batch > 1)
            for name, array in some._asdict().items()
            if array is not None
        }
        return type(some)(**{name: leaves.get(name) for name in some._fields})

    varying, fixed = split_fixed(inputs)
    _, outputs = jax.eval_shape(
        rule.step,
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[2:], jnp.float32), state),
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[3:], jnp.float32), inputs),
    )
    has_columns = states_with_columns(rule, state)
    return (
        jax.tree.map(lambda leaf, has_columns: leaf_of(leaf.shape[2:], has_columns), state, has_columns),
        leaves_of(varying),
        leaves_of(fixed),
        jax.tree.map(lambda leaf: leaf_of(leaf.shape, bool(rule.column_inputs)), outputs),
    )


def _tiles(chip: ChipSizes, rule: Rule, rows: int, columns: int) -> tuple[int, int]:
    if not rule.column_inputs:
        return 1, _pad_feature(chip, columns)
    widest = chip.widest_tile
    while _pad_feature(chip, rows) * widest > chip.preferred_state and widest > chip.pad_columns(1):
        widest //= 2
    num_tiles = -(-columns // widest)
    return num_tiles, chip.pad_columns(-(-columns // num_tiles))


def _pad_feature(chip: ChipSizes, size: int) -> int:
    return 1 if size == 1 else chip.pad_feature(size)


def _fit(chip: ChipSizes, rule: Rule, leaves: tuple[Any, ...], longest: int) -> tuple[Rule, int]:
    """The rule, without its chunk form if the chip cannot run that, and the number of tokens per chunk."""
    if rule.chunk is not None:
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.float32), leaves)
        size = max(min(longest, chip.longest_chunk), SHORTEST_CHUNK)
        while size >= SHORTEST_CHUNK:
            jaxpr = trace(rule, *shapes, size=size, backward=True)
            if shortest_side(jaxpr) < chip.shortest_side:
                break
            if reused_operands(jaxpr) <= chip.reused_operands:
                return rule, size
            size //= 2
        rule = dataclasses.replace(rule, chunk=None)
    floats = max(math.prod(leaf.shape) for leaf in jax.tree.leaves(leaves[0]))
    size = longest
    while size * floats > chip.kept_states:
        size //= 2
    return rule, max(size, SHORTEST_CHUNK)
