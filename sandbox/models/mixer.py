"""What every sequence mixer is: a config that makes it, and a module with three forms that agree.

`__call__` is the training form, over a whole sequence at once. `prefill` continues from a decode state over
any number of tokens. `step` takes one token. The decode state is a pytree of arrays and holds *everything* that
is carried from one token to the next: short convolutions, token shifts, positions and caches included. Its size
is the x axis of the chart, so nothing may be kept outside it.
"""

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from sandbox.option_checks import check_at_least, check_divides
from sandbox.scans import IMPLEMENTATIONS, resolve_implementation
from sandbox.shapes import Activations, Token

State = Any
"""A pytree of arrays whose leading axis is the batch, apart from position counters, which are scalars."""


class Mixer(nnx.Module):
    """Maps a sequence to a sequence of the same shape, each position seeing itself and the past.

    A new mixer defines `init_state` and `prefill`; the other two forms follow, and are overridden only where
    there is a cheaper way.
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

    def resolved_implementation(self, length: int) -> str:
        """Which form of its scan runs over `length` tokens; `xla` where there is only one."""
        return "xla"


@dataclasses.dataclass(frozen=True)
class Card:
    """What the table of all mixers (`docs/mixers.md`) says of one and cannot measure."""

    equation: str
    """One line, in the letters of `sandbox.shapes`."""
    decay: str
    """How it forgets, such as `data-dependent, per channel`."""
    update: str
    """How it writes, such as `add` or `delta rule`."""
    paper: str
    """Authors, year, arXiv number."""


@dataclasses.dataclass(unsafe_hash=True)
class MixerConfig:
    """The options of one mixer; each family extends it next to its module."""

    card: ClassVar[Card]
    grows: ClassVar[bool] = False
    """Whether the decode state is larger for longer sequences."""

    def check(self, d_model: int) -> None:
        """Raises ValueError where this mixer cannot have width `d_model`."""

    def check_length(self, length: int) -> None:
        """Raises ValueError where this mixer cannot take sequences of `length` tokens."""

    def make(self, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Mixer:
        """A mixer of width `d_model`. Parameters are float32; `dtype` is that of activations and caches."""
        raise NotImplementedError


@dataclasses.dataclass(unsafe_hash=True)
class ScanConfig(MixerConfig):
    """The options of a mixer whose memory is run by one of the rules of `sandbox.scans`."""

    implementation: str = "auto"
    """Form of the scan: see `sandbox.scans.IMPLEMENTATIONS`."""
    chunk_size: int | None = None
    """Tokens of a chunk, in the chunked forms. None: the scan's own choice."""

    def __post_init__(self) -> None:
        check_scan_options(self.implementation, self.chunk_size)

    @property
    def scan_options(self) -> dict[str, Any]:
        """The arguments of these names that every scan takes."""
        return {"implementation": self.implementation, "chunk_size": self.chunk_size}


@dataclasses.dataclass(unsafe_hash=True)
class MatrixMemoryConfig(ScanConfig):
    """The options of a mixer whose heads each keep a matrix, and share the width of the model among them."""

    d_state: int = 16
    """Rows of memory that a head keeps: channels of its queries and keys, K."""
    num_heads: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.d_state", self.d_state, 1)
        check_at_least("mixer.num_heads", self.num_heads, 1)

    def check(self, d_model: int) -> None:
        """Heads divide the width."""
        check_divides("mixer.num_heads", self.num_heads, "model.d_model", d_model)


class ScanMixer(Mixer):
    """A mixer with a `ScanConfig`. It says which rule it runs and the size of one head's memory."""

    config: ScanConfig
    rule: str
    """Name in `sandbox.scans.RULES`."""
    rows: int
    columns: int

    def resolved_implementation(self, length: int) -> str:
        """Which form of the scan runs over `length` tokens."""
        return resolve_implementation(
            self.config.implementation, rule=self.rule, num_tokens=length, rows=self.rows, columns=self.columns
        )


def check_scan_options(implementation: str, chunk_size: int | None) -> None:
    """Raises ValueError unless the scans have this implementation and can cut time into chunks of this size."""
    allowed = ("auto", *IMPLEMENTATIONS)
    if implementation not in allowed:
        raise ValueError(f"mixer.implementation={implementation} must be one of {', '.join(allowed)}")
    if chunk_size is not None and (chunk_size < 1 or chunk_size & (chunk_size - 1)):
        raise ValueError(f"mixer.chunk_size={chunk_size} must be a power of two, or null")
