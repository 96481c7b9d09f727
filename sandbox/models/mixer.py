"""The contract of a sequence mixer: a config that makes it, and a module with three forms that agree.

The decode state holds *everything* carried from token to token, including short convolutions, token shifts,
positions and caches, because its size is what mixers are compared by.
"""

import dataclasses
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.segments import open_segments
from sandbox.option_checks import check_at_least, check_divides
from sandbox.renamed import renamed
from sandbox.scans import IMPLEMENTATIONS
from sandbox.shapes import Activations, Token
from sandbox.state_kinds import StateKind

State = Any
"""A named tuple of arrays with the batch as leading axis, or of states; counters of tokens are scalars."""


class MatrixState(NamedTuple):
    """One matrix per head."""

    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]


class Mixer(nnx.Module):
    """A causal map from sequence to sequence of the same shape.

    Subclasses define `init_state` and `prefill`, and override the other two forms only to make them cheaper.
    """

    def __call__(self, x: Activations) -> Activations:
        """The whole sequence from an empty state."""
        batch, length, _ = x.shape
        return self.prefill(x, self.init_state(batch, length))[0]

    @property
    def output_projection(self) -> nnx.Module | None:
        """The `Dense` layer that writes to the residual stream: `out`, where a mixer has it; else None."""
        return getattr(self, "out", None)

    def init_state(self, batch_size: int, max_len: int) -> State:
        """The empty decode state for sequences of up to `max_len` tokens."""
        raise NotImplementedError

    def prefill(self, x: Activations, state: State) -> tuple[Activations, State]:
        """The next T tokens at once, from `state`."""
        raise NotImplementedError

    def step(self, x: Token, state: State) -> tuple[Token, State]:
        """The next token, from `state`."""
        y, state = self.prefill(x[:, None], state)
        return y[:, 0], state


class MixerType(Protocol):
    """A subclass of `Mixer` that a config can make."""

    def __call__(self, config: Any, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike) -> Mixer: ...


@dataclasses.dataclass(frozen=True)
class Card:
    """The cells of a mixer in the table `docs/mixers.md` that cannot be measured."""

    equation: str
    """One line, in the letters of `sandbox.shapes`."""
    decay: str
    """How it forgets, such as `data-dependent, per channel`."""
    update: str
    """How it writes, such as `add` or `delta rule`."""
    paper: str
    """Authors, year, arXiv number."""
    d_state: str = "–"
    """Meaning of the size knob `mixer.d_state`; a dash if there is none."""


@dataclasses.dataclass(unsafe_hash=True)
class MixerConfig:
    """Base of the options of each mixer."""

    mixer: ClassVar[MixerType]
    """The module that `make` builds."""
    card: ClassVar[Card]
    grows: ClassVar[bool] = False
    """Whether the size of the decode state depends on the length of the sequence."""
    takes_segments: ClassVar[bool] = False
    """Whether the form that trains keeps `segments` apart. If not, a row of several is taken token by token."""
    version: ClassVar[int] = 1
    """Goes up by one when a mixer of the same options comes to give other results."""

    def __post_init__(self) -> None:
        """Raises ValueError for an invalid option."""

    def check_width(self, d_model: int) -> None:
        """Raises ValueError if this mixer cannot have width `d_model`."""

    def check_length(self, length: int) -> None:
        """Raises ValueError if this mixer cannot take sequences of `length` tokens."""

    def make(self, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Mixer:
        """A mixer of width `d_model`, with float32 parameters, and activations and caches of `dtype`."""
        check_at_least("model.d_model", d_model, 1)
        self.check_width(d_model)
        return self.mixer(self, d_model, rngs=rngs, dtype=dtype)


@dataclasses.dataclass(unsafe_hash=True)
class ScanConfig(MixerConfig):
    """Options of a mixer whose memory is updated by a rule of `sandbox.scans`."""

    takes_segments: ClassVar[bool] = True

    implementation: str = "auto"
    """Implementation of the scan, one of `sandbox.scans.IMPLEMENTATIONS`, or `auto`."""
    chunk_size: int | None = None
    """Tokens per chunk in chunked implementations. None: the choice of the implementation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = ("auto", *IMPLEMENTATIONS)
        if self.implementation not in allowed:
            setting = f"mixer.implementation={self.implementation}"
            raise ValueError(f"{setting} must be one of {', '.join(allowed)}{renamed(setting)}")
        size = self.chunk_size
        if size is not None and (size < 1 or size & (size - 1)):
            raise ValueError(f"mixer.chunk_size={size} must be a power of two, or null")

    @property
    def scan_options(self) -> dict[str, Any]:
        """Keyword arguments for a scan."""
        return {
            "implementation": self.implementation,
            "chunk_size": self.chunk_size,
            "segment_ids": open_segments(),
        }


@dataclasses.dataclass(unsafe_hash=True)
class MatrixMemoryConfig(ScanConfig):
    """Options of a mixer with one matrix per head."""

    d_state: int = 16
    """The size knob: rows K of a head's matrix, channels of its queries and keys."""
    num_heads: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_at_least("mixer.num_heads", self.num_heads, 1)

    def check_width(self, d_model: int) -> None:
        """Raises ValueError unless heads divide the width."""
        check_divides("mixer.num_heads", self.num_heads, "model.d_model", d_model)


@dataclasses.dataclass(unsafe_hash=True)
class UnitsConfig(MixerConfig):
    """Options of a recurrent network, whose state is a vector of units."""

    takes_segments: ClassVar[bool] = True

    d_state: int | None = None
    """The size knob: number of hidden units. None: `d_model`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_state is not None:
            check_at_least("mixer.d_state", self.d_state, 1)

    def units(self, d_model: int) -> int:
        """Number of hidden units."""
        return d_model if self.d_state is None else self.d_state
