"""What an update rule is: the contract between the rules and the drivers that run them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Float

State = Float[Array, "K V"]
"""What one head of one sequence remembers."""

Update = Callable[[State, Any], tuple[State, Array]]
"""`(state, inputs) -> (new state, output)`, for one token or for one chunk of tokens."""


@dataclass(frozen=True)
class Rule:
    """One update rule, for one head of one sequence.

    `inputs` is a named tuple of arrays (an absent input is None). Every array has the same leading axis of
    time in `chunk` and lacks it in `step`. Inputs that are all zero leave the state exactly as it was, so a
    driver may pad time with zeros.
    """

    step: Update
    """The definition: one token. Reads like the paper's equation."""

    chunk: Update | None
    """The same map for C tokens at once, C a power of two; None where the rule has no such form.

    Made only of masks, reductions, exponentials of non-positive numbers and two-dimensional matrix products,
    so that it can be traced inside a kernel as well as by XLA.
    """

    default_chunk_size: Callable[[Any], int]
    """The number of tokens per chunk that trains fastest for inputs of this kind."""
