"""Matrix products, masks and the triangular solve for the chunk forms of rules.

Nothing here slices, sorts, scans or divides integers, because TPU and GPU kernels cannot.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Precision = lax.Precision | None

_CONTRACTED_AXES = {"AB": ((1,), (0,)), "ABᵀ": ((1,), (1,)), "AᵀB": ((0,), (0,))}


def matmul(
    a: Float[Array, "_ _"],
    b: Float[Array, "_ _"],
    product: Literal["AB", "ABᵀ", "AᵀB"] = "AB",
    precision: Precision = None,
) -> Float[Array, "_ _"]:
    """One of three products of two matrices, accumulated in float32, or in float64 if an operand has it."""
    dimension_numbers = (_CONTRACTED_AXES[product], ((), ()))
    exact = jnp.promote_types(jnp.result_type(a, b), jnp.float32)
    return lax.dot_general(a, b, dimension_numbers, precision, preferred_element_type=exact)


def exact_matmul(a: Float[Array, "_ _"], b: Float[Array, "_ _"]) -> Float[Array, "_ _"]:
    """The product in full float32, for sums of gates and for inverses; TF32 and bfloat16 would round them."""
    return matmul(a, b, precision=lax.Precision.HIGHEST)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def products_of_rows(rows: Float[Array, "C K"], in_parts: bool) -> Float[Array, "C C"]:
    """`rows · rowsᵀ`; `in_parts` keeps products of rows that are alike from all being rounded alike.

    The delta rule multiplies up what remains of each token, 1 - β k·k, so that an error that all k·k share grows
    with the number of tokens. Hence the multiples of 2⁻¹⁰ in the entries, whose products are exact for keys of
    norm one, are multiplied apart from the rest, which adds two terms that are each other's transposes.
    """
    if not in_parts:
        return matmul(rows, rows, "ABᵀ")
    coarse = jnp.floor(rows * 1024.0 + 0.5) / 1024.0  # to the nearest, so that small entries are fine as they are
    fine = rows - coarse
    with_fine = matmul(fine, coarse + 0.5 * fine, "ABᵀ")
    return matmul(coarse, coarse, "ABᵀ") + (with_fine + with_fine.T)


@products_of_rows.defjvp
def _products_of_rows_jvp(
    in_parts: bool, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Float[Array, "C C"], Float[Array, "C C"]]:
    """Computes both terms of the product rule by one product, because each is the transpose of the other."""
    (rows,), (rows_tangent,) = primals, tangents
    term = matmul(rows_tangent, rows, "ABᵀ")
    # The custom rule itself would hide the products from the checkpoint policy of the chunked driver.
    return products_of_rows.fun(rows, in_parts), term + term.T


def rows_and_columns(size: int) -> tuple[Int[Array, "{size} {size}"], Int[Array, "{size} {size}"]]:
    """The row index i and the column index j of every entry of a square matrix."""
    return lax.broadcasted_iota(jnp.int32, (size, size), 0), lax.broadcasted_iota(jnp.int32, (size, size), 1)


def block_pairs(size: int, half: int) -> Bool[Array, "{size} {size}"]:
    """True where i is in the second half and j in the first half of the same block of `2 * half` rows.

    The masks of half = 1, 2, 4, …, size / 2 cover the strictly lower triangle, each entry once.
    """
    i, j = rows_and_columns(size)
    return ((i ^ j) < 2 * half) & in_second_half(i.shape, half) & ((j & half) == 0)


def in_second_half(shape: tuple[int, ...], half: int) -> Bool[Array, "{shape[0]} {shape[1]}"]:
    """True in the rows of the second half of each block of `2 * half` rows."""
    return (lax.broadcasted_iota(jnp.int32, shape, 0) & half) != 0


@jax.custom_jvp
def unit_lower_inverse(lower: Float[Array, "C C"]) -> Float[Array, "C C"]:
    """`(I - L)⁻¹` for a strictly lower triangular L whose size is a power of two.

    By block substitution, each iteration doubles the inverted diagonal blocks: with X the inverse of the blocks of
    `half` rows, `X + X (L between the halves) X` is that of the blocks of `2 * half` rows. The shorter product
    (I + L)(I + L²)(I + L⁴)… is unsafe: its terms grow without bound if keys repeat.
    """
    return _substitute_blocks(lower)


@unit_lower_inverse.defjvp
def _unit_lower_inverse_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Float[Array, "C C"], Float[Array, "C C"]]:
    """Differentiates the equation, not the substitution: `dX = X dL X`."""
    (lower,), (lower_tangent,) = primals, tangents
    # A call of the function itself would hide the products from the checkpoint policy of the chunked driver.
    inverse = _substitute_blocks(lower)
    return inverse, exact_matmul(inverse, exact_matmul(lower_tangent, inverse))


def _substitute_blocks(lower: Float[Array, "C C"]) -> Float[Array, "C C"]:
    """`unit_lower_inverse` without its derivative."""
    size = lower.shape[0]
    i, j = rows_and_columns(size)
    inverse = jnp.where(i == j, 1.0, jnp.where(block_pairs(size, 1), lower, 0.0))
    half = 2
    while half < size:
        between_halves = jnp.where(block_pairs(size, half), lower, 0.0)
        inverse = inverse + exact_matmul(inverse, exact_matmul(between_halves, inverse))
        half *= 2
    return inverse
