"""The contract of a sequence mixer: a config that makes it, and a module with three forms that agree.

`__call__` is the training form, over a whole sequence at once. `prefill` continues from a decode state over
any number of tokens. `step` takes one token. The decode state is a named tuple of arrays that holds *everything*
carried from one token to the next: short convolutions, token shifts, positions and caches included. Its size is
the x axis of the chart, so nothing may be kept outside it.
"""

import dataclasses
from typing import Annotated, Any, ClassVar, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.option_checks import check_at_least, check_divides
from sandbox.scans import IMPLEMENTATIONS
from sandbox.shapes import Activations, Token
from sandbox.state_kinds import StateKind

State = Any
"""A named tuple of arrays whose leading axis is the batch; position counters are scalars."""


class MatrixState(NamedTuple):
    """The decode state of a mixer that carries one matrix per head and nothing else."""

    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]


class Mixer(nnx.Module):
    """Maps a sequence to a sequence of the same shape; each position sees itself and the past.

    A subclass is built as `(config, d_model, *, rngs, dtype)` and defines `init_state` and `prefill`. The other
    two forms follow, and are overridden only if there is a cheaper way.
    """

    def __call__(self, x: Activations) -> Activations:
        """The whole sequence at once, from an empty state: the training form."""
        batch, length, _ = x.shape
        return self.prefill(x, self.init_state(batch, length))[0]

    def init_state(self, batch_size: int, max_len: int) -> State:
        """The empty decode state for sequences of up to `max_len` tokens."""
        raise NotImplementedError

    def prefill(self, x: Activations, state: State) -> tuple[Activations, State]:
        """The next T tokens at once, from `state`."""
        raise NotImplementedError

    def step(self, x: Token, state: State) -> tuple[Token, State]:
        """The next token, from `state`: the deployment form."""
        y, state = self.prefill(x[:, None], state)
        return y[:, 0], state


@dataclasses.dataclass(frozen=True)
class Card:
    """A mixer's line in the table of all mixers (`docs/mixers.md`), as far as it cannot be measured."""

    equation: str
    """One line, in the letters of `sandbox.shapes`."""
    decay: str
    """How it forgets, such as `data-dependent, per channel`."""
    update: str
    """How it writes, such as `add` or `delta rule`."""
    paper: str
    """Authors, year, arXiv number."""
    d_state: str = "–"
    """What the size knob `mixer.d_state` sets; a dash for a mixer without it."""


@dataclasses.dataclass(unsafe_hash=True)
class MixerConfig:
    """The options of one mixer; each family extends it next to its module."""

    mixer: ClassVar[type[Mixer]]
    """The module that these options make."""
    card: ClassVar[Card]
    grows: ClassVar[bool] = False
    """Whether the decode state is larger for longer sequences."""

    def __post_init__(self) -> None:
        """Raises ValueError for an option that is not allowed."""

    def check_width(self, d_model: int) -> None:
        """Raises ValueError if this mixer cannot have width `d_model`."""

    def check_length(self, length: int) -> None:
        """Raises ValueError if this mixer cannot take sequences of `length` tokens."""

    def make(self, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Mixer:
        """A mixer of width `d_model`. Parameters are float32; `dtype` is that of activations and caches."""
        check_at_least("model.d_model", d_model, 1)
        self.check_width(d_model)
        return self.mixer(self, d_model, rngs=rngs, dtype=dtype)  # type: ignore[call-arg]


@dataclasses.dataclass(unsafe_hash=True)
class ScanConfig(MixerConfig):
    """The options of a mixer whose memory is updated by one of the rules of `sandbox.scans`."""

    implementation: str = "auto"
    """Implementation of the scan: see `sandbox.scans.IMPLEMENTATIONS`."""
    chunk_size: int | None = None
    """Tokens per chunk, in the chunked forms. None: the scan's own choice."""

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = ("auto", *IMPLEMENTATIONS)
        if self.implementation not in allowed:
            raise ValueError(f"mixer.implementation={self.implementation} must be one of {', '.join(allowed)}")
        size = self.chunk_size
        if size is not None and (size < 1 or size & (size - 1)):
            raise ValueError(f"mixer.chunk_size={size} must be a power of two, or null")

    @property
    def scan_options(self) -> dict[str, Any]:
        """The keyword arguments of these names that every scan takes."""
        return {"implementation": self.implementation, "chunk_size": self.chunk_size}


@dataclasses.dataclass(unsafe_hash=True)
class MatrixMemoryConfig(ScanConfig):
    """The options of a mixer whose heads each keep a matrix, and share the width of the model among them."""

    d_state: int = 16
    """The size knob: rows K of a head's matrix, channels of its queries and keys."""
    num_heads: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_at_least("mixer.num_heads", self.num_heads, 1)

    def check_width(self, d_model: int) -> None:
        """Heads divide the width."""
        check_divides("mixer.num_heads", self.num_heads, "model.d_model", d_model)


@dataclasses.dataclass(unsafe_hash=True)
class UnitsConfig(MixerConfig):
    """The options of a recurrent network: its state is a vector of units, as many as the width unless told."""

    d_state: int | None = None
    """The size knob: hidden units. None: as many as `d_model`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_state is not None:
            check_at_least("mixer.d_state", self.d_state, 1)

    def units(self, d_model: int) -> int:
        """Number of hidden units."""
        return d_model if self.d_state is None else self.d_state
