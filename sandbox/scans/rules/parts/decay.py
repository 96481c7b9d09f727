"""The decay within one chunk of tokens: absent, per head or per channel, each computed at its lowest cost.

With g_t <= 0 the log decay of token t = 1 .. C, a chunk form needs

    from_start_i    exp(Σ_{s <= i} g_s)              remainder of the initial state when token i reads
    to_end_j        exp(Σ_{s > j} g_s)               remainder at the end of what token j wrote
    whole           exp(Σ_s g_s)                     remainder of the initial state at the end
    gram(x, y)_ij   Σ_d x_id y_jd exp(Σ_{j < s <= i} g_sd)

The `exclusive` decays of a rule that reads before it writes have `s < i` instead of `s <= i`.

Every exponent is a sum of log decays over a range of tokens, computed as a product with a matrix of zeros and
ones. A difference of two longer sums would cancel, and its terms could overflow.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sandbox.scans.rules.parts.algebra import (
    block_pairs,
    exact_matmul,
    in_second_half,
    matmul,
    products_of_rows,
    rows_and_columns,
)


class ChunkDecay(ABC):
    """The factors of a decay: `from_start` and `to_end` multiply `[C, K]`, and `whole` the state `[K, V]`."""

    from_start: Float[Array, "C 1"] | Float[Array, "C K"] | float
    to_end: Float[Array, "C 1"] | Float[Array, "C K"] | float
    whole: Float[Array, "1 1"] | Float[Array, "K 1"] | float

    @abstractmethod
    def exclusive(self) -> "ChunkDecay":
        """The `exclusive` decay of the same chunk; what both have in common is computed once."""

    @abstractmethod
    def gram(self, x: Float[Array, "C K"], y: Float[Array, "C K"]) -> Float[Array, "C C"]:
        """The decayed products of each x_i with each earlier y_j, i > j; zero elsewhere."""

    @abstractmethod
    def gram_of_rows(self, rows: Float[Array, "C K"]) -> Float[Array, "C C"]:
        """`gram(rows, rows)`, more exact: see `products_of_rows`."""

    @abstractmethod
    def causal_gram(self, x: Float[Array, "C K"], y: Float[Array, "C K"]) -> Float[Array, "C C"]:
        """`gram` for i >= j: the diagonal is x_i · y_i, undecayed."""


def chunk_decay(log_decay: Float[Array, "C 1"] | Float[Array, "C K"] | None, *, size: int) -> ChunkDecay:
    """The decay of a chunk of `size` tokens, chosen by the shape of `log_decay`; not `exclusive`."""
    if log_decay is None:
        return NoDecay(size)
    if log_decay.shape[1] == 1:
        return ScalarDecay(log_decay)
    return ChannelDecay(ChannelFactors.of(log_decay))


class NoDecay(ChunkDecay):
    """No decay: a causal mask."""

    def __init__(self, size: int) -> None:
        self.from_start = self.to_end = self.whole = 1.0
        self._i, self._j = rows_and_columns(size)

    def exclusive(self) -> ChunkDecay:
        """See `ChunkDecay`."""
        return self

    def gram(self, x: Float[Array, "C K"], y: Float[Array, "C K"]) -> Float[Array, "C C"]:
        """See `ChunkDecay`."""
        return jnp.where(self._i > self._j, self._decayed(matmul(x, y, "ABᵀ")), 0.0)

    def gram_of_rows(self, rows: Float[Array, "C K"]) -> Float[Array, "C C"]:
        """See `ChunkDecay`."""
        return jnp.where(self._i > self._j, self._decayed(products_of_rows(rows, in_parts=True)), 0.0)

    def causal_gram(self, x: Float[Array, "C K"], y: Float[Array, "C K"]) -> Float[Array, "C C"]:
        """See `ChunkDecay`."""
        return jnp.where(self._i >= self._j, self._decayed(matmul(x, y, "ABᵀ")), 0.0)

    def _decayed(self, products: Float[Array, "C C"]) -> Float[Array, "C C"]:
        return products


class LogDecaySums(NamedTuple):
    """The logs of the factors for one decay per head; `between[i, j]` is the exponent in `gram`."""

    from_start: Float[Array, "C 1"]
    to_end: Float[Array, "C 1"]
    whole: Float[Array, "1 1"]
    between: Float[Array, "C C"]


def sum_log_decays(log_decay: Float[Array, "C 1"], exclusive: bool = False) -> LogDecaySums:
    """The logs of the factors of a decay per head."""
    i, j = rows_and_columns(log_decay.shape[0])
    summed = _summed_from_start(log_decay.shape[0], exclusive)
    row = log_decay.T
    after_j = jnp.where(i > j, log_decay, 0.0)
    return LogDecaySums(
        from_start=jnp.sum(jnp.where(summed, row, 0.0), axis=1, keepdims=True),
        to_end=jnp.sum(jnp.where(j > i, row, 0.0), axis=1, keepdims=True),
        whole=jnp.sum(log_decay, axis=0, keepdims=True),
        between=exact_matmul(summed.astype(jnp.float32), after_j),
    )


def _summed_from_start(size: int, exclusive: bool) -> Bool[Array, "{size} {size}"]:
    """True if `from_start` of token i includes the log decay of token s."""
    i, s = rows_and_columns(size)
    return (s < i) if exclusive else (s <= i)


class ScalarDecay(NoDecay):
    """One decay per head: `x yᵀ` is multiplied by a matrix of decays."""

    def __init__(self, log_decay: Float[Array, "C 1"], exclusive: bool = False) -> None:
        super().__init__(log_decay.shape[0])
        self._log_decay = log_decay
        sums = sum_log_decays(log_decay, exclusive)
        self.from_start = jnp.exp(sums.from_start)
        self.to_end = jnp.exp(sums.to_end)
        self.whole = jnp.exp(sums.whole)
        self._between = jnp.exp(sums.between)

    def exclusive(self) -> ChunkDecay:
        """See `ChunkDecay`."""
        return ScalarDecay(self._log_decay, exclusive=True)

    def _decayed(self, products: Float[Array, "C C"]) -> Float[Array, "C C"]:
        return products * self._between


class ChannelFactors(NamedTuple):
    """The decays between every row and the places to which rows are related, one per channel."""

    own: Float[Array, "C K"]
    """The decay of the token itself."""
    before: Float[Array, "C K"]
    """From the start of the chunk to the row, which is not included."""
    to_end: Float[Array, "C K"]
    """From the row to the end of the chunk."""
    whole: Float[Array, "1 K"]
    to_cut: dict[int, Float[Array, "C K"]]
    """Between the row and its cut, for each half size of a block; a row after the cut is not included."""

    @classmethod
    def of(cls, log_decay: Float[Array, "C K"]) -> "ChannelFactors":
        """The factors of a chunk; every exponent is a sum, never a difference."""
        size = log_decay.shape[0]
        i, s = rows_and_columns(size)

        def decay_over(tokens: Bool[Array, "C C"]) -> Float[Array, "C K"]:
            return jnp.exp(exact_matmul(tokens.astype(jnp.float32), log_decay))

        to_cut = {}
        half = size // 2
        while half > 1:
            after_cut = in_second_half(i.shape, half)
            to_cut[half] = decay_over(((i ^ s) < half) & ((after_cut & (s < i)) | (~after_cut & (s > i))))
            half //= 2
        if size > 1:  # between neighbours there is nothing to sum
            to_cut[1] = jnp.ones_like(log_decay)
        return cls(
            own=jnp.exp(log_decay),
            before=decay_over(s < i),
            to_end=decay_over(s > i),
            whole=jnp.exp(jnp.sum(log_decay, axis=0, keepdims=True)),
            to_cut=to_cut,
        )


class ChannelDecay(ChunkDecay):
    """One decay per channel: the triangle is divided into blocks, each a product of two decayed matrices.

    Blocks of `2 * half` rows are cut at their middle m. A pair (i, j) across the cut has the decay
    `exp(Σ_{m < s <= i} g_s) · exp(Σ_{j < s <= m} g_s)`: one factor for the row of x, one for the row of y,
    both at most one. Each row is on one side of the cut, so one matrix can hold the rows of x and those of y.
    Halving the blocks down to one row covers the strict triangle in log2(C) products without a three-dimensional
    array (compare the secondary chunks of GLA, arXiv:2312.06635, section 4.3).
    """

    def __init__(self, factors: ChannelFactors, exclusive: bool = False) -> None:
        self._factors, self._own = factors, 1.0 if exclusive else factors.own
        self.from_start = factors.before * self._own
        self.to_end = factors.to_end
        self.whole = factors.whole.T

    def exclusive(self) -> ChunkDecay:
        """See `ChunkDecay`."""
        return ChannelDecay(self._factors, exclusive=True)

    def gram(self, x: Float[Array, "C K"], y: Float[Array, "C K"]) -> Float[Array, "C C"]:
        """See `ChunkDecay`."""
        return self._products_across_cuts(x, y, in_parts=False)

    def gram_of_rows(self, rows: Float[Array, "C K"]) -> Float[Array, "C C"]:
        """See `ChunkDecay`."""
        return self._products_across_cuts(rows, rows, in_parts=True)

    def _products_across_cuts(
        self, x: Float[Array, "C K"], y: Float[Array, "C K"], in_parts: bool
    ) -> Float[Array, "C C"]:
        """The sum, over the half sizes, of the products of rows after a cut with rows before it."""
        read = x * self._own
        products = jnp.zeros((len(x), len(x)), jnp.float32)
        for half, to_cut in self._factors.to_cut.items():
            rows = jnp.where(in_second_half(x.shape, half), read, y) * to_cut
            pairs = block_pairs(len(x), half)
            products = products + jnp.where(pairs, products_of_rows(rows, in_parts), 0.0)
        return products

    def causal_gram(self, x: Float[Array, "C K"], y: Float[Array, "C K"]) -> Float[Array, "C C"]:
        """See `ChunkDecay`."""
        i, j = rows_and_columns(len(x))
        return jnp.where(i == j, jnp.sum(x * y, axis=1, keepdims=True), self.gram(x, y))
