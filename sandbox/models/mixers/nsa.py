"""Native sparse attention (Yuan et al. 2025, arXiv:2502.11089, section 3): three views of the past, gated.

    o_t = g^c compressed_t + g^s selected_t + g^w window_t ,      g = σ(x_t W_g), three per head

    compressed   over the means k̄_c, v̄_c of blocks of C tokens that end by t: p_tc = softmax_c(q_t·k̄_c / √K),
                 Σ_c p_tc v̄_c, and zero before the first block is complete
    selected     softmax attention over the tokens up to t of S blocks: the first, the query's own, the one before
                 it, and those of the largest p_tc, summed over the query heads that share keys and values
    window       softmax attention over the last W tokens

Blocks are chosen without a gradient; the gradient of `compressed` teaches p what to look for. As in
flash-linear-attention, and simpler than in the paper, the mean stands for a small MLP, the blocks of both views
are the same and do not overlap, the views share keys and values, and gates are linear. All keys and values are
kept, but a query costs what S blocks, W tokens, and a key and a value for each block of the past cost.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers.attention import Attention, AttentionConfig, Positions
from sandbox.models.layers.dense import Dense
from sandbox.models.mixer import Card
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind

FORCED = 3
"""Blocks that every query selects: the first, its own, and the one before."""


@dataclasses.dataclass(unsafe_hash=True)
class NSAConfig(AttentionConfig):
    """Softmax attention to blocks that each query selects, beside a window and the means of all blocks."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ gates · attention over block means, over the tokens of S selected blocks, over W tokens",
        decay="none",
        update="append",
        paper="Yuan et al. 2025, arXiv:2502.11089",
    )
    grows: ClassVar[bool] = True

    block_size: int = 8
    """Tokens C of a block."""
    num_selected: int = 4
    """Blocks S that each query selects, the three that all select included."""
    window: int = 16
    """Tokens W of the window, the query's own included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.block_size", self.block_size, 1)
        check_at_least("mixer.num_selected", self.num_selected, FORCED)
        check_at_least("mixer.window", self.window, 1)
        if self.positions in (Positions.alibi, Positions.hard_alibi):
            raise ValueError(
                f"mixer.positions={self.positions.name} must be none, rope or learned: "
                "a block of tokens has no single distance"
            )


class NSAState(NamedTuple):
    """The keys and values of all tokens so far, and the means of their blocks, in arrays for `max_len` tokens."""

    k: Annotated[Float[Array, "B S G K"], StateKind.cache]
    v: Annotated[Float[Array, "B S G K"], StateKind.cache]
    mean_k: Annotated[Float[Array, "B n G K"], StateKind.cache]
    """Of a block that is not complete, the sum so far divided by C."""
    mean_v: Annotated[Float[Array, "B n G K"], StateKind.cache]
    length: Annotated[Int[Array, ""], StateKind.counter]
    """Tokens so far."""


class NSA(Attention):
    """Native sparse attention. Decode state: an `NSAState`."""

    config: NSAConfig

    def __init__(self, config: NSAConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        self.gates = Dense(d_model, 3 * config.num_heads, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> NSAState:
        self.config.check_length(max_len)
        blocks = -(-max_len // self.config.block_size)
        rows, means = self._rows(batch_size, blocks * self.config.block_size), self._rows(batch_size, blocks)
        return NSAState(rows, rows, means, means, jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: NSAState) -> tuple[Activations, NSAState]:
        positions = state.length + jnp.arange(x.shape[1])
        q, k, v = self._project(x, positions)
        k_rows, v_rows = (
            jax.lax.dynamic_update_slice(old, new.astype(old.dtype), (0, state.length, 0, 0))
            for old, new in ((state.k, k), (state.v, v))
        )
        k_means, v_means = (
            self._means(old, rows, state.length, x.shape[1])
            for old, rows in ((state.mean_k, k_rows), (state.mean_v, v_rows))
        )
        after = NSAState(k_rows, v_rows, k_means, v_means, state.length + x.shape[1])
        compressed, chosen = self._compressed(q, after, positions)
        views = [compressed, self._selected(q, after, positions, chosen), self._window(q, after, state.length)]
        gates = jax.nn.sigmoid(self.gates(x)).reshape(*q.shape[:3], 3)
        return self._merge(jnp.einsum("bthn,nbthk->bthk", gates, jnp.stack(views))), after

    def _means(
        self, means: Float[Array, "B n G K"], rows: Float[Array, "B S G K"], start: Int[Array, ""], length: int
    ) -> Float[Array, "B n G K"]:
        """The means of the blocks after `length` new rows; a single one changes those of its block alone."""
        blocks = rows.reshape(len(rows), -1, self.config.block_size, *rows.shape[2:])
        if length > 1:
            return blocks.mean(axis=2, dtype=jnp.float32).astype(means.dtype)
        own = start // self.config.block_size
        block = jax.lax.dynamic_index_in_dim(blocks, own, axis=1, keepdims=False)
        mean = block.mean(axis=1, dtype=jnp.float32).astype(means.dtype)
        return jax.lax.dynamic_update_index_in_dim(means, mean, own, axis=1)

    def _compressed(
        self, q: Float[Array, "B T H K"], state: NSAState, positions: Int[Array, "T"]
    ) -> tuple[Float[Array, "B T H K"], Int[Array, "B T G S"]]:
        """Attention over the means of complete blocks, and the blocks that each query selects; -1 is none."""
        by_group = q.reshape(*q.shape[:2], self.config.kv_heads, -1, self.head_dim)
        scores = jnp.einsum("btgrk,bngk->btgrn", by_group, state.mean_k.astype(q.dtype)) * self.head_dim**-0.5
        block, own = jnp.arange(state.mean_k.shape[1]), (positions // self.config.block_size)[:, None]
        complete = ((block + 1) * self.config.block_size - 1 <= positions[:, None])[:, None, None]
        weights = jax.nn.softmax(jnp.where(complete, scores, jnp.finfo(scores.dtype).min)) * complete
        read = jnp.einsum("btgrn,bngk->btgrk", weights, state.mean_v.astype(q.dtype))

        forced = (block == 0) | (block == own) | (block == own - 1)
        importance = jnp.where(forced[:, None], jnp.inf, jax.lax.stop_gradient(weights.sum(axis=3)))
        _, chosen = jax.lax.top_k(importance, min(self.config.num_selected, len(block)))
        return read.reshape(q.shape), jnp.where(chosen <= own[..., None], chosen, -1)

    def _selected(
        self,
        q: Float[Array, "B T H K"],
        state: NSAState,
        positions: Int[Array, "T"],
        chosen: Int[Array, "B T G S"],
    ) -> Float[Array, "B T H K"]:
        """Attention over the tokens of the chosen blocks."""
        size, by_group = self.config.block_size, (*q.shape[:2], self.config.kv_heads, -1, self.head_dim)

        def taken(rows: Float[Array, "B P G K"]) -> Float[Array, "B T G R K"]:
            blocks = rows.reshape(len(rows), -1, size, *rows.shape[2:]).astype(q.dtype)
            of_head = jax.vmap(jax.vmap(lambda blocks, chosen: blocks[chosen], (2, 1), 1))
            return of_head(blocks, chosen).reshape(*chosen.shape[:3], -1, self.head_dim)

        of_row = chosen[..., None] * size + jnp.arange(size)
        visible = (chosen[..., None] >= 0) & (of_row <= positions[:, None, None, None])
        visible = visible.reshape(*chosen.shape[:3], 1, -1)
        scores = jnp.einsum("btgrk,btgsk->btgrs", q.reshape(by_group), taken(state.k)) * self.head_dim**-0.5
        weights = jax.nn.softmax(jnp.where(visible, scores, jnp.finfo(scores.dtype).min))
        return jnp.einsum("btgrs,btgsk->btgrk", weights, taken(state.v)).reshape(q.shape)

    def _window(
        self, q: Float[Array, "B T H K"], state: NSAState, start: Int[Array, ""]
    ) -> Float[Array, "B T H K"]:
        """Attention over the last W tokens."""
        window = self.config.window

        def near(rows: Float[Array, "B P G K"]) -> Float[Array, "B S G K"]:
            padded = jnp.pad(rows, ((0, 0), (window - 1, 0), (0, 0), (0, 0)))
            return jax.lax.dynamic_slice_in_dim(padded, start, window - 1 + q.shape[1], axis=1)

        return self._attend_to_window(q, near(state.k), near(state.v), start, window)


NSAConfig.mixer = NSA
