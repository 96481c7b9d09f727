"""The contract between update rules and the drivers that run them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.shapes import PRNGKey

State = Any
"""The state of one head of one sequence: a float32 array with at most two axes, or a tuple of them."""

Inputs = Any
"""The inputs of one head of one sequence: a named tuple of arrays, or None for an absent input."""

Outputs = Any
"""The outputs of one head of one sequence: `[V]` per token, or a tuple of such arrays."""

Update = Callable[[State, Inputs], tuple[State, Outputs]]
"""`(state, inputs) -> (new state, outputs)`, for one token or for one chunk of tokens."""

Example = Callable[[PRNGKey, int, int, int], Inputs]
"""`(key, T, K, V) -> inputs`: random inputs for T tokens, leaves `[T, …]`, or `[1, …]` if fixed over time."""


@dataclass(frozen=True, eq=False)
class Rule:
    """One update rule, for one head of one sequence.

    Drivers convert inputs of any precision to float32. The inputs of `step` belong to one token, such as `[K]`;
    those of `chunk` have a leading axis of C tokens. Neither function closes over arrays: what all tokens share is
    an input as well.
    """

    name: str
    """The name of the rule's public function; any other for a rule outside the package."""

    step: Update
    """The definition: the update by one token, written like the equation of the paper."""

    initial_state: Callable[[Inputs], State]
    """The state before the first token; of the inputs of one token, which it takes, only the shapes matter."""

    examples: Mapping[str, Example]
    """Example inputs for tests and benchmarks, by the kinds that the rule distinguishes, such as of decay."""

    values: str = "v"
    """The input that is written to the state; outputs are linear in it."""

    log_decay: Callable[[Inputs], Any] | None = None
    """The log of the decays in inputs `[B, T, H, …]`: `[B, T, H, K]`, or one number for all K rows. None: none."""

    chunk: Update | None = None
    """The update by C tokens at once, C a power of two; None if the rule has no such form.

    It runs inside kernels too, so it consists of masks, reductions, exponentials of non-positive numbers and
    two-dimensional matrix products. Tokens that pad the last chunk have inputs of zero, or of `padding`: they must
    leave the state exactly as it was.
    """

    padding: Mapping[str, float] = field(default_factory=dict)
    """Nonzero values of the inputs of tokens that pad a chunk."""

    default_chunk_size: Callable[[Inputs], int] = field(default=lambda inputs: 16)
    """The chunk size in tokens that trains fastest with these inputs."""

    steps_up_to: int = 0
    """Floats in the state of a head up to which `steps` trains faster on a CPU than the products of `chunked`."""

    column_inputs: frozenset[str] = frozenset()
    """Inputs whose last axis is the V columns, if columns do not mix, so that kernels may tile over V.

    Empty if columns mix: the whole state of a head then has to fit on the chip.
    """

    column_states: Any = True
    """Whether the last axis of a state leaf is V: one bool for all, or a tree of bools like the state."""
