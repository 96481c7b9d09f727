"""BigBird's attention (Zaheer et al. 2020, arXiv:2007.14062, section 2 and appendix D), made causal.

    o_t = Σ_{i ≤ t, i ∈ blocks B_n} softmax_i(q_t·k_i / √K) v_i        for a query t in block n = ⌊t / C⌋

Time is cut into blocks of C tokens. Up to its own token, a query sees the first `num_global` blocks, the
`num_window` blocks that end with its own, and `num_random` other past blocks, drawn once per query block. The
paper also makes the last block global, has two-sided windows, draws random blocks per head, and adds learned
positions to the embedding.

**State.** The pattern is known in advance, so blocks are assigned pages of memory as a compiler assigns registers
to variables: a block holds a page from its first token until its last reader. The largest number of blocks needed
at once is the number of pages. With random blocks it grows with the sequence: for n blocks it is about n/4 with
one random block per query block, 0.38 n with two and 0.47 n with three.
"""

import dataclasses
import functools
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sandbox.models.layers.attention import Attention, AttentionConfig, into_blocks, num_blocks, out_of_blocks
from sandbox.models.mixer import Card
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations, Token
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class BigBirdConfig(AttentionConfig):
    """Softmax attention over blocks of `d_state` tokens: global, window and random blocks."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ_i softmax_i(q_t·k_i / √K) v_i over i ≤ t in global, window and random blocks",
        decay="forgets blocks that no later one looks at",
        update="append blocks",
        paper="Zaheer et al. 2020, arXiv:2007.14062",
        d_state="tokens C of a block",
    )
    grows: ClassVar[bool] = True

    d_state: int = 16
    """The size knob: tokens C of a block."""
    num_global: int = 1
    """Number of initial blocks that all later ones see."""
    num_window: int = 2
    """Number of blocks in the window, the query's own included."""
    num_random: int = 1
    """Number of other past blocks that each block of queries sees."""
    seed: int = 0
    """Seed of the random blocks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_at_least("mixer.num_global", self.num_global, 0)
        check_at_least("mixer.num_window", self.num_window, 1)
        check_at_least("mixer.num_random", self.num_random, 0)
        check_at_least("mixer.seed", self.seed, 0)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Horizon:
    """Number of blocks in the longest sequence that a state can hold; static, as its pages are planned from it."""

    blocks: int


class BigBirdState(NamedTuple):
    """The keys and values of the blocks that hold a page."""

    k: Annotated[Float[Array, "B pages C G K"], StateKind.cache]
    v: Annotated[Float[Array, "B pages C G K"], StateKind.cache]
    length: Annotated[Int[Array, ""], StateKind.counter]
    """Tokens so far."""
    horizon: Horizon


class BigBird(Attention):
    """Block-sparse attention. Decode state: a `BigBirdState`."""

    config: BigBirdConfig

    def init_state(self, batch_size: int, max_len: int) -> BigBirdState:
        self.config.check_length(max_len)
        horizon = Horizon(-(-max_len // self.config.d_state))
        pages = self._rows(batch_size, self._plan(horizon).num_pages, self.config.d_state)
        return BigBirdState(pages, pages, jnp.zeros((), jnp.int32), horizon)

    def prefill(self, x: Activations, state: BigBirdState) -> tuple[Activations, BigBirdState]:
        (_, length, _), size, start = x.shape, self.config.d_state, state.length
        q, k, v = self._project(x, start + jnp.arange(length))
        plan = self._plan(state.horizon)
        k, v = (self._unfold(old, new, start, plan) for old, new in ((state.k, k), (state.v, v)))
        blocks, offset = num_blocks(length, size, state.horizon.blocks), start % size
        here = start // size + jnp.arange(blocks)
        seen = jnp.take(jnp.asarray(plan.seen), here, axis=0, mode="clip")
        attended = self._attend_to(
            into_blocks(q, offset, blocks, size),
            k[:, seen],
            v[:, seen],
            here[:, None] * size + jnp.arange(size)[None],
            seen,
        )
        last = (start + length - 1) // size
        k, v = (self._fold(rows, last, plan) for rows in (k, v))
        y = self._merge(out_of_blocks(attended, offset, length))
        return y, BigBirdState(k, v, start + length, state.horizon)

    def step(self, x: Token, state: BigBirdState) -> tuple[Token, BigBirdState]:
        """Processes the next token without unfolding the pages."""
        size, position = self.config.d_state, state.length[None]
        q, k, v = self._project(x[:, None], position)
        plan, here = self._plan(state.horizon), position // size
        k, v = (self._write(old, new, position, plan) for old, new in ((state.k, k), (state.v, v)))
        seen = jnp.asarray(plan.seen)[here]
        pages = jnp.asarray(plan.page)[seen]
        attended = self._attend_to(q[:, None], k[:, pages], v[:, pages], position[None], seen)
        return self._merge(attended[:, 0])[:, 0], BigBirdState(k, v, state.length + 1, state.horizon)

    def _plan(self, horizon: Horizon) -> "Plan":
        config = self.config
        return plan(horizon.blocks, config.num_global, config.num_window, config.num_random, config.seed)

    def _attend_to(
        self,
        q: Float[Array, "B blocks T H K"],
        k: Float[Array, "B blocks S C G K"],
        v: Float[Array, "B blocks S C G K"],
        q_positions: Int[Array, "blocks T"],
        seen: Int[Array, "blocks S"],
    ) -> Float[Array, "B blocks T H K"]:
        """Attention of each block of queries to the S blocks in `seen`, where -1 means none."""
        size = self.config.d_state
        k_positions = (seen[:, :, None] * size + jnp.arange(size)[None, None]).reshape(seen.shape[0], -1)
        visible = (k_positions[:, None] <= q_positions[:, :, None]) & (k_positions >= 0)[:, None]
        rows = (*k.shape[:2], -1, *k.shape[4:])
        return self._attend_by_block(q, k.reshape(rows), v.reshape(rows), q_positions, k_positions, visible)

    def _unfold(
        self,
        pages: Float[Array, "B pages C G K"],
        new: Float[Array, "B T G K"],
        start: Int[Array, ""],
        plan: "Plan",
    ) -> Float[Array, "B blocks C G K"]:
        """The rows of all blocks, new ones included. Rows that are neither in a page nor new are never visible."""
        rows = pages[:, plan.page]
        shape = rows.shape
        rows = rows.reshape(shape[0], -1, *shape[3:])
        is_old = (jnp.arange(rows.shape[1]) < start)[None, :, None, None]
        rows = jnp.where(is_old, rows, 0)
        return jax.lax.dynamic_update_slice(rows, new.astype(rows.dtype), (0, start, 0, 0)).reshape(shape)

    def _fold(
        self, rows: Float[Array, "B blocks C G K"], last: Int[Array, ""], plan: "Plan"
    ) -> Float[Array, "B pages C G K"]:
        """The blocks that hold a page once block `last` has begun."""
        held = jnp.asarray(plan.held)[last]
        is_held = (held >= 0)[:, None, None, None]
        pages = rows[:, held]
        return jnp.where(is_held, pages, 0)

    def _write(
        self,
        pages: Float[Array, "B pages C G K"],
        new: Float[Array, "B 1 G K"],
        position: Int[Array, "1"],
        plan: "Plan",
    ) -> Float[Array, "B pages C G K"]:
        """Writes the row of one token to the page of its block and clears the rows after it."""
        size = self.config.d_state
        page, row = jnp.asarray(plan.page)[position[0] // size], position[0] % size
        block = jax.lax.dynamic_index_in_dim(pages, page, axis=1, keepdims=False)
        rows = jnp.broadcast_to(jnp.arange(size)[:, None, None], block.shape)
        new = new.astype(block.dtype)
        block = jnp.where(rows < row, block, jnp.where(rows == row, new, 0))
        return jax.lax.dynamic_update_index_in_dim(pages, block, page, axis=1)


class Plan(NamedTuple):
    """Which blocks each block sees, and which page holds it, in a sequence of n blocks."""

    seen: np.ndarray
    """`[n, S]`: the blocks that each block sees, padded with -1."""
    page: np.ndarray
    """`[n]`: the page of each block."""
    held: np.ndarray
    """`[n, pages]`: the block that each page holds while block n is processed; -1 means none."""

    @property
    def num_pages(self) -> int:
        """Number of blocks kept at once."""
        return self.held.shape[1]


@functools.cache
def plan(blocks: int, num_global: int, num_window: int, num_random: int, seed: int) -> Plan:
    """The attention pattern, which does not depend on `blocks`, and the pages that it needs."""
    seen = np.full((blocks, num_global + num_window + num_random), -1, np.int32)
    for block in range(blocks):
        first = max(block - num_window + 1, 0)  # of the window
        others = np.arange(min(num_global, first), first)
        drawn = np.random.default_rng((seed, block)).permutation(others)[:num_random]
        row = [*range(min(num_global, first)), *sorted(drawn), *range(first, block + 1)]
        seen[block, : len(row)] = row
    last_reader = [int(np.flatnonzero((seen == block).any(axis=1))[-1]) for block in range(blocks)]
    pages: list[int] = []
    page, held = np.zeros(blocks, np.int32), []
    for block in range(blocks):
        free = [index for index, holds in enumerate(pages) if last_reader[holds] < block]
        page[block] = free[0] if free else len(pages)
        pages[page[block] : page[block] + 1] = [block]
        held.append(list(pages))
    return Plan(seen, page, np.array([row + [-1] * (len(pages) - len(row)) for row in held], np.int32))


BigBirdConfig.mixer = BigBird
