"""Softmax attention: heads, projections, positions, and sequences cut into blocks.

    o_t = Σ_i softmax_i(q_t·k_i / √K + b_{t-i}) v_i        over the tokens i that the query t sees

q, k, v are linear in x_t, the output is linear in o_t. H query heads share G key/value heads (Ainslie et al.
2023, arXiv:2305.13245). Each mixer chooses the tokens that a query sees.

| positions | encoding | source |
| --- | --- | --- |
| none | none: order enters only through the causal mask (NoPE) | Kazemnejad et al. 2023, arXiv:2305.19466 |
| rope | q and k rotated by angles proportional to the position | Su et al. 2021, arXiv:2104.09864 |
| learned | a trained vector per position, added to x before the projections | as in GPT-2, but per mixer |
| alibi | b_d = -m_h d, with a fixed slope m_h per head | Press et al. 2022, arXiv:2108.12409 |
| hard_alibi | head h = 1 … `windowed_heads` sees the last h tokens, itself included | Jelassi et al. 2024 |

Hard-ALiBi (arXiv:2402.01032): b_d = 0 for d < h and -∞ beyond; the other heads have b_d = 0. The authors' code
windows 8 of 12 heads.
"""

import dataclasses
import enum
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.layers.rotary import rotate
from sandbox.models.layers.windows import (
    in_window,
    query_blocks,
    window_blocks,
    window_positions,
    window_within_segments,
)
from sandbox.models.mixer import Mixer, MixerConfig
from sandbox.models.segments import places
from sandbox.option_checks import check_at_least, check_divides
from sandbox.ran import note_implementation
from sandbox.shapes import Activations
from sandbox.taps import tap_read, tap_values
from sandbox.target import kernels_are_interpreted, target_platform


class Positions(enum.Enum):
    """Position encodings; see the table above."""

    none = "none"
    rope = "rope"
    learned = "learned"
    alibi = "alibi"
    hard_alibi = "hard_alibi"


@dataclasses.dataclass(unsafe_hash=True)
class AttentionConfig(MixerConfig):
    """Options of a mixer with softmax attention."""

    num_heads: int = 1
    num_kv_heads: int | None = None
    """Heads of keys and values, each shared by a group of query heads. None: `num_heads`."""
    positions: Positions = Positions.rope
    max_positions: int = 2048
    """Longest sequence that `positions=learned` accepts."""
    windowed_heads: int | None = None
    """Number of heads with a window if `positions=hard_alibi`. None: half of the heads."""
    use_bias: bool = False
    """Use biases in the projections, as GPT-2 and Longformer do."""

    def __post_init__(self) -> None:
        check_at_least("mixer.num_heads", self.num_heads, 1)
        check_at_least("mixer.num_kv_heads", self.kv_heads, 1)
        check_at_least("mixer.max_positions", self.max_positions, 1)
        check_divides("mixer.num_kv_heads", self.kv_heads, "mixer.num_heads", self.num_heads)
        if self.windowed_heads is not None:
            check_at_least("mixer.windowed_heads", self.windowed_heads, 0)
            if self.windowed_heads >= self.num_heads:
                raise ValueError(
                    f"mixer.windowed_heads={self.windowed_heads} must be less than "
                    f"mixer.num_heads={self.num_heads}"
                )

    @property
    def windows(self) -> np.ndarray:
        """Window of each head in tokens, if `positions=hard_alibi`; 0 means unlimited."""
        heads = np.arange(1, self.num_heads + 1)
        windowed = self.num_heads // 2 if self.windowed_heads is None else self.windowed_heads
        return np.where(heads <= windowed, heads, 0)

    @property
    def kv_heads(self) -> int:
        """Number of key/value heads."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    def check_length(self, length: int) -> None:
        """Raises ValueError if learned positions end before `length` tokens."""
        if self.positions is Positions.learned and length > self.max_positions:
            raise ValueError(
                f"mixer.max_positions={self.max_positions} is the longest sequence that learned positions allow, "
                f"got {length} tokens"
            )

    def check_width(self, d_model: int) -> None:
        check_divides("mixer.num_heads", self.num_heads, "model.d_model", d_model)
        if self.positions is Positions.rope:
            check_divides(
                "2 · mixer.num_heads (rope pairs channels)", 2 * self.num_heads, "model.d_model", d_model
            )


class Attention(Mixer):
    """Base of the attention mixers: projections, position encodings and attention over given rows."""

    config: AttentionConfig

    def __init__(self, config: AttentionConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.head_dim = d_model // config.num_heads
        self.q = self._dense(d_model, d_model, rngs=rngs)
        self.k = self._dense(d_model, config.kv_heads * self.head_dim, rngs=rngs)
        self.v = self._dense(d_model, config.kv_heads * self.head_dim, rngs=rngs)
        self.out = self._dense(d_model, d_model, rngs=rngs)
        table = None
        if config.positions is Positions.learned:
            shape = (config.max_positions, d_model)
            table = NoWeightDecay(nnx.initializers.normal(0.02)(rngs.params(), shape, jnp.float32))
        self.position_table = table
        self.dtype = dtype

    def _dense(self, d_in: int, d_out: int, *, rngs: nnx.Rngs) -> Dense:
        return Dense(d_in, d_out, use_bias=self.config.use_bias, rngs=rngs)

    def _rows(self, batch_size: int, *rows: int, heads: int | None = None) -> Float[Array, "B *rows G K"]:
        """Zeros for the keys or values of all heads, or of `heads` of them."""
        heads = self.config.kv_heads if heads is None else heads
        return jnp.zeros((batch_size, *rows, heads, self.head_dim), self.dtype)

    def _project(
        self,
        x: Activations,
        positions: Int[Array, "T"],
        layers: tuple[Dense, Dense, Dense] | None = None,
    ) -> tuple[Float[Array, "B T H K"], Float[Array, "B T G K"], Float[Array, "B T G K"]]:
        """Queries, keys and values, computed by `layers`. None: by `self.q`, `self.k` and `self.v`."""
        if self.position_table is not None:
            x = x + self.position_table[...][places(positions)].astype(x.dtype)
        heads = (*x.shape[:2], -1, self.head_dim)
        q, k, v = (layer(x).reshape(heads) for layer in layers or (self.q, self.k, self.v))
        if self.config.positions is Positions.rope:
            q, k = rotate(q, positions), rotate(k, positions)
        return q, k, tap_values(v)

    def _attend(
        self,
        q: Float[Array, "B T H K"],
        k: Float[Array, "B S G K"],
        v: Float[Array, "B S G K"],
        q_positions: Int[Array, "T"],
        k_positions: Int[Array, "S"],
        visible: Bool[Array, "*B T S"],
        heads: slice = slice(None),
    ) -> Float[Array, "B T H K"]:
        """Attention of each query over its visible rows, of which there is at least one.

        `heads` selects the query heads that `q` holds, for their slopes and windows.
        """
        bias, mask = None, visible[None, None] if visible.ndim == 2 else visible[:, None]
        distance = (q_positions[:, None] - k_positions[None, :])[None]
        if self.config.positions is Positions.alibi:
            slopes = jnp.asarray(alibi_slopes(self.config.num_heads)[heads], jnp.float32)
            bias = (-slopes[:, None, None] * distance.astype(jnp.float32))[None]
        if self.config.positions is Positions.hard_alibi:
            windows = jnp.asarray(self.config.windows[heads])[:, None, None]
            mask = mask & ((distance < windows) | (windows == 0))[None]
        k, v = k.astype(q.dtype), v.astype(q.dtype)
        note_implementation("xla")
        return jax.nn.dot_product_attention(q, k, v, bias=bias, mask=mask)

    def _attend_by_block(
        self,
        q: Float[Array, "B blocks T H K"],
        k: Float[Array, "B blocks S G K"],
        v: Float[Array, "B blocks S G K"],
        q_positions: Int[Array, "blocks T"],
        k_positions: Int[Array, "blocks S"],
        visible: Bool[Array, "*B blocks T S"],
    ) -> Float[Array, "B blocks T H K"]:
        by_block = jax.vmap(self._attend, in_axes=(1, 1, 1, 0, 0, visible.ndim - 3), out_axes=1)
        return by_block(q, k, v, q_positions, k_positions, visible)

    def _attend_to_window(
        self,
        q: Float[Array, "B T H K"],
        k: Float[Array, "B P G K"],
        v: Float[Array, "B P G K"],
        start: Int[Array, ""],
        window: int,
    ) -> Float[Array, "B T H K"]:
        """Attention over the last `window` tokens; the rows are those from `start` on and `window` - 1 before."""
        length = q.shape[1]
        q_positions, k_positions = window_positions(start, length, window)
        attended = self._attend_by_block(
            query_blocks(q, window),
            window_blocks(k, length, window),
            window_blocks(v, length, window),
            q_positions,
            k_positions,
            window_within_segments(in_window(q_positions, k_positions, window), length, window),
        )
        return attended.reshape(len(q), -1, *q.shape[2:])[:, :length]

    def _merge(self, attended: Float[Array, "B T H K"]) -> Activations:
        return self.out(tap_read(attended).reshape(*attended.shape[:2], -1))


def alibi_slopes(num_heads: int) -> np.ndarray:
    """ALiBi's slopes: 2^(-8h/H) for head h = 1 … H, if H is a power of two (Press et al. 2022, section 3).

    Other H take the slopes of the next lower power of two, then every second slope of twice that power, as in the
    authors' code.
    """
    power = 2 ** int(np.log2(num_heads))
    slopes = 2.0 ** (-8.0 / power * np.arange(1, power + 1))
    finer = 2.0 ** (-4.0 / power * np.arange(1, 2 * power + 1, 2))
    return np.concatenate([slopes, finer])[:num_heads]


def attention_implementation(head_dim: int, dtype: DTypeLike, positions: Positions) -> Literal["cudnn", "xla"]:
    """Implementation of causal attention over a whole sequence: cuDNN's flash attention if it applies, else XLA.

    Flash attention takes 16-bit floats and heads of at most 128 channels, a multiple of 8. With a bias or mask per
    head, as large as the attention matrix, it saves nothing.
    """
    on_gpu = target_platform() == "gpu" and not kernels_are_interpreted()
    sizes = jnp.dtype(dtype).itemsize == 2 and head_dim <= 128 and head_dim % 8 == 0
    biased = positions in (Positions.alibi, Positions.hard_alibi)
    return "cudnn" if on_gpu and sizes and not biased else "xla"


def join(old: Float[Array, "B P G K"], new: Float[Array, "B T G K"]) -> Float[Array, "B S G K"]:
    """The cached rows followed by the new ones, in the dtype of the cache."""
    return jnp.concatenate([old, new.astype(old.dtype)], axis=1)


def num_blocks(length: int, size: int, most: int) -> int:
    """Largest number of blocks that `length` consecutive tokens can touch, of the `most` blocks of a sequence."""
    return min((length + 2 * size - 2) // size, most)


def into_blocks(
    x: Float[Array, "B T H K"], offset: Int[Array, ""], blocks: int, size: int
) -> Float[Array, "B {blocks} {size} H K"]:
    """Cuts `x` into blocks, its first token at row `offset` of the first block; pads with zeros."""
    frame = jnp.zeros((x.shape[0], blocks * size, *x.shape[2:]), x.dtype)
    frame = jax.lax.dynamic_update_slice(frame, x, (0, offset, 0, 0))
    return frame.reshape(x.shape[0], blocks, size, *x.shape[2:])


def out_of_blocks(
    x: Float[Array, "B blocks size H K"], offset: Int[Array, ""], length: int
) -> Float[Array, "B {length} H K"]:
    """The inverse of `into_blocks`."""
    rows = x.reshape(x.shape[0], -1, *x.shape[3:])
    return jax.lax.dynamic_slice_in_dim(rows, offset, length, axis=1)


def in_front(
    rows: Float[Array, "B shared G K"], blocks: Float[Array, "B blocks own G K"]
) -> Float[Array, "B blocks S G K"]:
    """`rows` in front of the rows of each block."""
    shape = (*blocks.shape[:2], *rows.shape[1:])
    return jnp.concatenate([jnp.broadcast_to(rows[:, None], shape), blocks], axis=2)
