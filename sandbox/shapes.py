"""The letters of every array shape in this package, and the aliases that are used in more than one file.

| letter | dimension |
| --- | --- |
| B | batch: independent sequences |
| T | time: tokens of a sequence |
| D | model width |
| H | heads |
| K | key: rows of a head's matrix state |
| V | value: columns of a head's matrix state |
| N | vocabulary; numbers that an SSM keeps for a channel |
| E | channels of a mixer that has no heads |
| M | scored positions of a sequence |
| C | tokens of a chunk |
| P | members of a population (learning rates × seeds) |
| G | heads of keys and values, where fewer than H |
| S | rows of a cache or a window |
| I, O | inputs and outputs of a dense layer |

The aliases are checked at run time in the tests (jaxtyping with beartype) and cost nothing under `jit`.
"""

from jaxtyping import Array, Float, Int, Key

Activations = Float[Array, "B T D"]
"""What flows between layers."""

Token = Float[Array, "B D"]
"""The same, for one position."""

Tokens = Int[Array, "B T"]
"""Token numbers, `0 <= token < N`."""

PRNGKey = Key[Array, ""]
"""One typed random key (`jax.random.key`)."""
