"""Arithmetic expressions as tokens: draws and values."""

import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sandbox.shapes import PRNGKey

PAD, PLUS, MINUS, TIMES, EQUALS = range(5)
FIRST_NUMBER = 5


def opening(modulus: int) -> int:
    """The token "(", which follows the numbers; ")" is the next."""
    return FIRST_NUMBER + modulus


def draw_flat(key: PRNGKey, max_length: int, modulus: int, num_operators: int) -> Int[Array, "T"]:
    """Draw numbers alternating with the first `num_operators` of + - *: an expression at any odd length."""
    numbers_key, operators_key = jax.random.split(key)
    numbers = _draw_numbers(numbers_key, max_length, modulus)
    operators = _draw_operators(operators_key, max_length, num_operators)
    return jnp.where(jnp.arange(max_length) % 2 == 0, numbers, operators)


def draw_bracketed(
    key: PRNGKey, length: Int[Array, ""], max_length: int, modulus: int, num_operators: int
) -> Int[Array, "T"]:
    """Draw an expression of exactly `length` tokens, padded.

    Up to 4 tokens it is d, -d, (d) or (-d) with a number d. Longer ones are (left operator right), and the
    length of the left part is uniform over all that leave at least one token for the right one.
    """
    numbers_key, operators_key, splits_key = jax.random.split(key, 3)
    numbers = _draw_numbers(numbers_key, max_length, modulus)
    operators = _draw_operators(operators_key, max_length, num_operators)
    splits = jax.random.randint(splits_key, (max_length,), 0, jnp.iinfo(jnp.int32).max, dtype=jnp.int32)
    bracket = opening(modulus)

    def next_token(carry, drawn):
        """Pop the top of the stack, write one token, and push what is left to write.

        On the stack, n > 0 is an expression of n tokens, and -n is a token.
        """
        stack, top = carry
        number, operator, split = drawn
        item = stack[top]
        left = 1 + split % jnp.maximum(item - 4, 1)
        zero = jnp.zeros_like(item)
        kinds = [item <= 0, item == 1, item == 2, item <= 4]
        token = jnp.select(kinds, [-item, number, zero + MINUS, zero + bracket], zero + bracket)
        count = jnp.select(kinds, [zero, zero, zero + 1, zero + 2], zero + 4)
        binary = jnp.stack([zero - bracket - 1, item - 3 - left, -operator, left])
        single = jnp.stack([zero - bracket - 1, item - 2, zero, zero])
        negated = jnp.stack([zero + 1, zero, zero, zero])
        rest = jnp.where(item == 2, negated, jnp.where(item <= 4, single, binary))
        stack = jax.lax.dynamic_update_slice(stack, rest, (top,))
        return (stack, top + count - 1), token

    # Every item stands for one token at least, so that there are never more than `max_length` of them.
    stack = jnp.zeros(max_length + 4, dtype=jnp.int32).at[0].set(length)
    _, tokens = jax.lax.scan(next_token, (stack, jnp.int32(0)), (numbers, operators, splits))
    return jnp.where(jnp.arange(max_length) < length, tokens, PAD)


def num_bracketed(length: int, modulus: int, num_operators: int) -> int:
    """Number of different expressions of `length` tokens that `draw_bracketed` can draw."""
    counts = [modulus] * min(length, 4)
    while len(counts) < length:
        left = counts[: len(counts) - 3]
        counts.append(num_operators * sum(map(operator.mul, left, reversed(left))))
    return counts[-1]


class Open(NamedTuple):
    """An expression that has been read in part; its value is total + term."""

    total: Int[Array, "*D"]
    term: Int[Array, "*D"]
    operator: Int[Array, "*D"]
    """The operator before the next operand."""


def values(tokens: Int[Array, "T"], modulus: int, max_depth: int) -> Int[Array, "T"]:
    """The value modulo `modulus` of the innermost open expression after each token; * binds more than + and -.

    Brackets are at most `max_depth` deep. Outside of them this is the value of all that was read, defined after an
    operand; = and padding leave it unchanged.
    """
    bracket = opening(modulus)

    def read(carry, token):
        expressions, depth, after_operand, sign = carry
        is_number = (token >= FIRST_NUMBER) & (token < bracket)
        is_operator = (token >= PLUS) & (token <= TIMES)
        is_opening, is_closing = token == bracket, token == bracket + 1
        inner = jax.tree.map(lambda leaf: leaf[depth], expressions)
        operand = jnp.where(is_closing, inner.total + inner.term, sign * (token - FIRST_NUMBER))

        depth = depth + is_opening - is_closing
        old = jax.tree.map(lambda leaf: leaf[depth], expressions)
        multiplies = old.operator == TIMES
        joined = Open(
            total=jnp.where(multiplies, old.total, old.total + old.term) % modulus,
            term=jnp.where(multiplies, old.term * operand, jnp.where(old.operator == MINUS, -1, 1) * operand)
            % modulus,
            operator=old.operator,
        )
        is_binary = is_operator & after_operand
        new = jax.tree.map(
            lambda empty, joined, old: jnp.where(
                is_opening, empty, jnp.where(is_number | is_closing, joined, old)
            ),
            Open(jnp.int32(0), jnp.int32(0), jnp.int32(PLUS)),
            joined,
            old._replace(operator=jnp.where(is_binary, token, old.operator)),
        )
        expressions = jax.tree.map(lambda leaf, entry: leaf.at[depth].set(entry), expressions, new)
        sign = jnp.where(is_operator & ~after_operand, -1, 1)
        return (expressions, depth, is_number | is_closing, sign), (new.total + new.term) % modulus

    nothing = jnp.zeros(max_depth + 1, dtype=jnp.int32)
    start = (Open(nothing, nothing, nothing + PLUS), jnp.int32(0), jnp.bool_(False), jnp.int32(1))
    return jax.lax.scan(read, start, tokens)[1]


def _draw_numbers(key: PRNGKey, count: int, modulus: int) -> Int[Array, " count"]:
    return jax.random.randint(key, (count,), FIRST_NUMBER, FIRST_NUMBER + modulus, dtype=jnp.int32)


def _draw_operators(key: PRNGKey, count: int, num_operators: int) -> Int[Array, " count"]:
    return jax.random.randint(key, (count,), PLUS, PLUS + num_operators, dtype=jnp.int32)
