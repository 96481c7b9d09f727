"""The letters of array shapes in this package, and shape aliases that several files use.

| letter | dimension |
| --- | --- |
| B | batch: independent sequences |
| T | time: tokens of a sequence |
| D | model width |
| H | heads |
| K | key: rows of a head's matrix state |
| V | value: columns of a head's matrix state |
| N | vocabulary; state variables of an SSM per channel |
| E | channels of a mixer that has no heads |
| M | scored positions of a sequence |
| C | tokens of a chunk |
| P | members of a population (learning rates × seeds) |
| G | heads of keys and values, if fewer than H |
| S | rows of a cache or a window |
| R | rows that a compressed block keeps |
| F | features of a feature map |
| I, O | inputs and outputs of a layer |

Words in a shape (`blocks`) speak for themselves; other letters belong to one file, which explains them.
The aliases are checked at run time in the tests (jaxtyping with beartype) and cost nothing under `jit`.
"""

from jaxtyping import Array, Float, Int, Key

Activations = Float[Array, "B T D"]
"""The activations between layers."""

Token = Float[Array, "B D"]
"""Activations at one position."""

Tokens = Int[Array, "B T"]
"""Token numbers, `0 <= token < N`."""

PRNGKey = Key[Array, ""]
"""One typed random key (`jax.random.key`)."""
