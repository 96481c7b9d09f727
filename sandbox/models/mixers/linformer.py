"""Linformer (Wang et al. 2020, arXiv:2006.04768, section 4), made causal block by block.

Linformer compresses the keys and values of a whole sequence, along time, to a few rows by learned matrices, which
mixes the future into every row. Here each block of C tokens is compressed by itself, once complete, to R rows (E,
F [R, C], shared by all blocks and heads):

    k̄_{n,r} = Σ_c E_{rc} k_{nC+c} ,   v̄_{n,r} = Σ_c F_{rc} v_{nC+c}
    o_t = softmax attention of q_t over  k̄_{n,r}, v̄_{n,r} for all n < ⌊t/C⌋  and  k_i, v_i for ⌊t/C⌋ C ≤ i ≤ t

A query sees earlier blocks through R rows each, and the tokens of its own block up to itself. The state is the
compressed rows, R / C of what softmax attention keeps, and the tokens of the incomplete block.

As in the authors' code (`linformer` in fairseq), E and F start uniform with variance 1 / (R + C). The paper adds
learned positions to the embedding; here RoPE rotates keys before compression, and ALiBi gives a compressed row the
position of its block's last token.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers.attention import (
    Attention,
    AttentionConfig,
    in_front,
    into_blocks,
    num_blocks,
    out_of_blocks,
)
from sandbox.models.mixer import Card
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class LinformerConfig(AttentionConfig):
    """Softmax attention over `d_state` compressed rows per earlier block and the tokens of the query's own."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ_j softmax_j(q_t·k_j / √K) v_j over E k, F v of each earlier block and i ≤ t of its own",
        decay="none",
        update="append compressed blocks",
        paper="Wang et al. 2020, arXiv:2006.04768",
        d_state="rows that an earlier block is compressed to",
    )
    grows: ClassVar[bool] = True

    d_state: int = 4
    """The size knob: rows R that an earlier block is compressed to."""
    block_size: int = 16
    """Tokens C of a block."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_at_least("mixer.block_size", self.block_size, 1)


class LinformerState(NamedTuple):
    """The compressed rows of earlier blocks, and the tokens of the incomplete one."""

    compressed_k: Annotated[Float[Array, "B blocks R G K"], StateKind.cache]
    compressed_v: Annotated[Float[Array, "B blocks R G K"], StateKind.cache]
    k: Annotated[Float[Array, "B S G K"], StateKind.cache]
    v: Annotated[Float[Array, "B S G K"], StateKind.cache]
    length: Annotated[Int[Array, ""], StateKind.counter]
    """Tokens so far."""


class Linformer(Attention):
    """Causal Linformer. Decode state: a `LinformerState`."""

    config: LinformerConfig

    def __init__(self, config: LinformerConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        shape = (config.d_state, config.block_size)
        uniform = nnx.initializers.variance_scaling(0.5, "fan_avg", "uniform")
        self.compress_k = nnx.Param(uniform(rngs.params(), shape, jnp.float32))
        self.compress_v = nnx.Param(uniform(rngs.params(), shape, jnp.float32))

    def init_state(self, batch_size: int, max_len: int) -> LinformerState:
        self.config.check_length(max_len)
        size = self.config.block_size
        compressed = self._rows(batch_size, (max_len - 1) // size, self.config.d_state)
        rows = self._rows(batch_size, size - 1)
        return LinformerState(compressed, compressed, rows, rows, jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: LinformerState) -> tuple[Activations, LinformerState]:
        (_, length, _), size, start = x.shape, self.config.block_size, state.length
        q, k, v = self._project(x, start + jnp.arange(length))
        blocks = num_blocks(length, size, state.compressed_k.shape[1] + 1)
        here = start // size + jnp.arange(blocks)
        k_blocks, compressed_k, rows_k = self._append(state.compressed_k, state.k, k, self.compress_k, start, here)
        v_blocks, compressed_v, rows_v = self._append(state.compressed_v, state.v, v, self.compress_v, start, here)

        offset, own = start % size, here[:, None] * size + jnp.arange(size)[None]
        if length == 1:
            queries, q_positions = q[:, None], start[None, None]
        else:
            queries = into_blocks(q, offset, blocks, size)
            q_positions = own
        earlier = jnp.repeat(jnp.arange(compressed_k.shape[1]), self.config.d_state)[None]
        k_positions = jnp.concatenate(
            [jnp.broadcast_to((earlier + 1) * size - 1, (blocks, earlier.size)), own], axis=1
        )
        # The own block, complete with its last token, is not visible in compressed form.
        is_past = jnp.concatenate([earlier < here[:, None], own >= 0], axis=1)
        visible = is_past[:, None, :] & (k_positions[:, None, :] <= q_positions[:, :, None])
        rows = (x.shape[0], -1, *compressed_k.shape[3:])
        attended = self._attend_by_block(
            queries,
            in_front(compressed_k.reshape(rows), k_blocks),
            in_front(compressed_v.reshape(rows), v_blocks),
            q_positions,
            k_positions,
            visible,
        )
        attended = attended[:, 0] if length == 1 else out_of_blocks(attended, offset, length)
        return self._merge(attended), LinformerState(compressed_k, compressed_v, rows_k, rows_v, start + length)

    def _append(
        self,
        compressed: Float[Array, "B earlier R G K"],
        rows: Float[Array, "B S G K"],
        new: Float[Array, "B T G K"],
        matrix: nnx.Param,
        start: Int[Array, ""],
        here: Int[Array, " blocks"],
    ) -> tuple[Float[Array, "B blocks C G K"], Float[Array, "B earlier R G K"], Float[Array, "B S G K"]]:
        """The blocks that the new rows touch, all compressed rows, and the rows of the incomplete block."""
        size, end = self.config.block_size, start + new.shape[1]
        frame = jnp.pad(rows, ((0, 0), (0, (here.size + 1) * size - rows.shape[1]), (0, 0), (0, 0)))
        frame = jax.lax.dynamic_update_slice(frame, new.astype(frame.dtype), (0, start % size, 0, 0))
        blocks = frame[:, : here.size * size].reshape(frame.shape[0], here.size, size, *frame.shape[2:])
        fresh = jnp.einsum("rc,bncgk->bnrgk", matrix[...].astype(blocks.dtype), blocks)
        is_complete = ((here + 1) * size <= end)[None, :, None, None, None]
        fresh = jnp.where(is_complete, fresh, 0)
        # The padding takes the last block of the sequence, which no query sees compressed.
        padded = jnp.pad(compressed, ((0, 0), (0, here.size), (0, 0), (0, 0), (0, 0)))
        padded = jax.lax.dynamic_update_slice(padded, fresh, (0, here[0], 0, 0, 0))
        last = (end // size - here[0]) * size
        rows = jax.lax.dynamic_slice_in_dim(frame, last, size - 1, axis=1)
        is_new = (jnp.arange(size - 1) < end % size)[None, :, None, None]
        rows = jnp.where(is_new, rows, 0)
        return blocks, padded[:, : compressed.shape[1]], rows


LinformerConfig.mixer = Linformer
