"""What an update rule is: the contract between the rules and the drivers that run them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.shapes import PRNGKey

State = Any
"""What one head of one sequence remembers: a float32 array of at most two dimensions, or a tuple of them."""

Inputs = Any
"""What one head of one sequence is given: a named tuple of arrays; an absent input is None."""

Outputs = Any
"""What one head of one sequence gives back: an array `[V]` a token, or a tuple of them."""

Update = Callable[[State, Inputs], tuple[State, Outputs]]
"""`(state, inputs) -> (new state, outputs)`, for one token or for one chunk of tokens."""

Example = Callable[[PRNGKey, int, int, int], Inputs]
"""`(key, T, K, V)` -> inputs for T tokens, drawn from the key: leaves `[T, …]`, or `[1, …]` if fixed over time."""


@dataclass(frozen=True, eq=False)
class Rule:
    """One update rule, for one head of one sequence.

    A rule sees float32 arrays whatever the precision of the inputs: the drivers convert. In `step` an input is
    what one token brings, such as `[K]`. In `chunk` every input has a leading axis of C tokens. Neither closes
    over arrays: what is the same for all tokens is an input as well.
    """

    name: str
    """The name of its public function, or of the module of whoever wrote it."""

    step: Update
    """The definition: one token. Reads like the paper's equation."""

    initial_state: Callable[[Inputs], State]
    """The state before the first token, from the inputs of one token, of which only the shapes matter."""

    examples: Mapping[str, Example]
    """Inputs of each kind that the rule distinguishes, such as kinds of decay, for tests and benchmarks."""

    chunk: Update | None = None
    """The same map for C tokens at once, C a power of two; None where the rule has no such form.

    Made only of masks, reductions, exponentials of non-positive numbers and two-dimensional matrix products,
    so that it can be traced inside a kernel as well as by XLA. The last chunk of a sequence is filled up with
    tokens that bring zeros in every input (see `padding`): they must leave the state exactly as it was.
    """

    padding: Mapping[str, float] = field(default_factory=dict)
    """Inputs that a token after the end of the sequence brings as another number than zero, for `chunk`."""

    default_chunk_size: Callable[[Inputs], int] = field(default=lambda inputs: 16)
    """The number of tokens per chunk that trains fastest for inputs of this kind."""

    column_inputs: frozenset[str] = frozenset()
    """Inputs whose last axis is the V columns, where columns do not mix: a kernel may then tile over V.

    Empty where columns mix, and then the whole state of a head has to fit on the chip.
    """

    column_states: Any = True
    """Which leaves of the state have V as their last axis: one truth value, or a tree of them like the state."""
