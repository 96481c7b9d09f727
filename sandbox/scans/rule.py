"""The contract between update rules and the drivers that run them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.shapes import PRNGKey

State = Any
"""The state of one head of one sequence: a float32 array of at most two dimensions, or a tuple of them."""

Inputs = Any
"""The inputs of one head of one sequence: a named tuple of arrays; an absent input is None."""

Outputs = Any
"""The outputs of one head of one sequence: an array `[V]` per token, or a tuple of them."""

Update = Callable[[State, Inputs], tuple[State, Outputs]]
"""`(state, inputs) -> (new state, outputs)`, for one token or for one chunk of tokens."""

Example = Callable[[PRNGKey, int, int, int], Inputs]
"""`(key, T, K, V)` -> inputs for T tokens, drawn from the key: leaves `[T, …]`, or `[1, …]` if fixed over time."""


@dataclass(frozen=True, eq=False)
class Rule:
    """One update rule, for one head of one sequence.

    A rule sees float32 arrays whatever the precision of the inputs: the drivers convert. In `step` an input
    belongs to one token, such as `[K]`; in `chunk` every input has a leading axis of C tokens. Neither closes over
    arrays: what is the same for all tokens is an input as well.
    """

    name: str
    """The name of its public function, or any other outside the package."""

    step: Update
    """The definition: one token. Reads like the paper's equation."""

    initial_state: Callable[[Inputs], State]
    """The state before the first token, from the inputs of one token; only their shapes matter."""

    examples: Mapping[str, Example]
    """Inputs of each kind that the rule distinguishes, such as kinds of decay, for tests and benchmarks."""

    chunk: Update | None = None
    """The same map for C tokens at once, C a power of two; None if the rule has no such form.

    Made only of masks, reductions, exponentials of non-positive numbers and two-dimensional matrix products,
    so that it can be traced inside a kernel as well as by XLA. The last chunk of a sequence is padded with tokens
    whose inputs are zero (or as `padding` says): they must leave the state exactly as it was.
    """

    padding: Mapping[str, float] = field(default_factory=dict)
    """Values other than zero of inputs of the tokens that pad a chunk."""

    default_chunk_size: Callable[[Inputs], int] = field(default=lambda inputs: 16)
    """The number of tokens per chunk that trains fastest with these inputs."""

    column_inputs: frozenset[str] = frozenset()
    """Inputs whose last axis is the V columns, if columns do not mix: a kernel may then tile over V.

    Empty if columns mix; the whole state of a head then has to fit on the chip.
    """

    column_states: Any = True
    """Which leaves of the state have V as their last axis: one bool, or a tree of bools like the state."""
