"""Sliding-window attention (Beltagy et al. 2020, section 3.1; Mistral: Jiang et al. 2023, arXiv:2310.06825).

    o_t = Σ_{t-W<i≤t} softmax_i(q_t·k_i / √K) v_i

A query sees W tokens, its own included, as in Mistral's model in `transformers`.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sandbox.models.layers.attention import Attention, AttentionConfig, join
from sandbox.models.mixer import Card
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class SlidingWindowConfig(AttentionConfig):
    """Softmax attention over the last `d_state` tokens."""

    card: ClassVar[Card] = Card(
        equation="o_t = Σ_{t-W<i≤t} softmax_i(q_t·k_i / √K) v_i",
        decay="forgets after W tokens",
        update="window",
        paper="Jiang et al. 2023, arXiv:2310.06825",
        d_state="tokens W of the window",
    )

    takes_segments: ClassVar[bool] = True

    d_state: int = 16
    """The size knob: tokens W of the window, the query's own included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)


class WindowCache(NamedTuple):
    """The keys and values of the last W - 1 tokens, oldest first."""

    k: Annotated[Float[Array, "B S G K"], StateKind.cache]
    v: Annotated[Float[Array, "B S G K"], StateKind.cache]
    length: Annotated[Int[Array, ""], StateKind.counter]
    """Tokens so far, which sets the next position and the rows that are still empty."""


class SlidingWindow(Attention):
    """Softmax attention over the last tokens. Decode state: a `WindowCache`."""

    config: SlidingWindowConfig

    def init_state(self, batch_size: int, max_len: int) -> WindowCache:
        self.config.check_length(max_len)
        rows = self._rows(batch_size, self.config.d_state - 1)
        return WindowCache(k=rows, v=rows, length=jnp.zeros((), jnp.int32))

    def prefill(self, x: Activations, state: WindowCache) -> tuple[Activations, WindowCache]:
        start, length = state.length, x.shape[1]
        q, k, v = self._project(x, start + jnp.arange(length))
        k, v = (join(old, new) for old, new in ((state.k, k), (state.v, v)))
        attended = self._attend_to_window(q, k, v, start, self.config.d_state)
        return self._merge(attended), WindowCache(k[:, length:], v[:, length:], start + length)


SlidingWindowConfig.mixer = SlidingWindow
