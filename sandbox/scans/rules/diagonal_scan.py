"""The diagonal scan: every channel forgets at its own rate and adds its own input.

    h_t = a_t ⊙ h_{t-1} + x_t ,   o_t = h_t

a_t depends on the data and is real (RG-LRU, arXiv:2402.19427, section 2.4; HGRN, arXiv:2311.04823; minGRU,
arXiv:2410.01201, section 3.1), or is fixed over time and complex (S4D, arXiv:2206.11893; LRU, arXiv:2303.06349,
equations 2 and 3). Kernels have no complex numbers: the rule is given real and imaginary parts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.rule import Example, Rule
from sandbox.shapes import PRNGKey

Channels = Float[Array, "E"]

State = Channels | tuple[Channels, Channels]
"""h, or its real and imaginary parts."""


class DiagonalScanInputs(NamedTuple):
    """What one token brings; an imaginary part that is None is zero."""

    a: Channels
    x: Channels
    a_imag: Channels | None = None
    x_imag: Channels | None = None


def step(state: State, inputs: DiagonalScanInputs) -> tuple[State, State]:
    """One token, as in the equation above."""
    a, x, a_imag, x_imag = inputs
    if not isinstance(state, tuple):
        new_state = a * state + x
        return new_state, new_state
    real, imag = state
    new_real, new_imag = a * real + x, a * imag
    if a_imag is not None:
        new_real, new_imag = new_real - a_imag * imag, new_imag + a_imag * real
    if x_imag is not None:
        new_imag = new_imag + x_imag
    return (new_real, new_imag), (new_real, new_imag)


def initial_state(inputs: DiagonalScanInputs) -> State:
    """Zeros: two parts where an input has an imaginary part."""
    zeros = jnp.zeros(inputs.x.shape)
    is_real = inputs.a_imag is None and inputs.x_imag is None
    return zeros if is_real else (zeros, zeros)


def example(complex_numbers: bool = False, fixed: bool = False) -> Example:
    """Decays between zero and one in modulus; complex ones turn by any angle."""

    def draw(key: PRNGKey, tokens: int, rows: int, columns: int) -> DiagonalScanInputs:
        gate, turn, real, imag = jax.random.split(key, 4)
        decays = (1 if fixed else tokens, columns)
        modulus = jax.nn.sigmoid(1.0 + jax.random.normal(gate, decays))
        x = jax.random.normal(real, (tokens, columns))
        if not complex_numbers:
            return DiagonalScanInputs(modulus, x)
        angle = jax.random.uniform(turn, decays, maxval=2 * jnp.pi)
        return DiagonalScanInputs(
            a=modulus * jnp.cos(angle),
            x=x,
            a_imag=modulus * jnp.sin(angle),
            x_imag=jax.random.normal(imag, (tokens, columns)),
        )

    return draw


DIAGONAL_SCAN = Rule(
    name="diagonal_scan",
    step=step,
    initial_state=initial_state,
    examples={
        "real": example(),
        "complex": example(complex_numbers=True),
        "real, fixed decay": example(fixed=True),
    },
    default_chunk_size=lambda inputs: 32,  # measured on CPU, forward and backward
    column_inputs=frozenset(DiagonalScanInputs._fields),
)
