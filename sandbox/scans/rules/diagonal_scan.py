"""The diagonal scan: every channel decays at its own rate and adds its own input.

`diagonal_scan` states the equation. Kernels have no complex numbers, so the rule takes real and imaginary parts.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Inexact

from sandbox.scans.argument_checks import check_is_floating
from sandbox.scans.dispatch import run_rule
from sandbox.scans.rule import Example, Rule
from sandbox.scans.segments import SegmentIds, Starts, carried
from sandbox.shapes import PRNGKey

Channels = Float[Array, "E"]

State = Channels | tuple[Channels, Channels]
"""h, or its real and imaginary parts."""


class DiagonalScanInputs(NamedTuple):
    """The inputs of one token; an imaginary part that is None is zero."""

    a: Channels
    x: Channels
    a_imag: Channels | None = None
    x_imag: Channels | None = None
    starts: Starts = None


def step(state: State, inputs: DiagonalScanInputs) -> tuple[State, State]:
    """Updates the state, which is also the output, by one token."""
    a, x, a_imag, x_imag, starts = inputs
    state = carried(starts, state)
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
    """Zeros, in two parts if an input has an imaginary part."""
    zeros = jnp.zeros(inputs.x.shape)
    is_real = inputs.a_imag is None and inputs.x_imag is None
    return zeros if is_real else (zeros, zeros)


def example(complex_numbers: bool = False, fixed: bool = False) -> Example:
    """Inputs with decays of modulus between zero and one and, if complex, of any angle."""

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
    column_inputs=frozenset({"a", "x", "a_imag", "x_imag"}),
    values="x",
    log_decay=lambda inputs: jnp.log(jnp.hypot(inputs.a, 0.0 if inputs.a_imag is None else inputs.a_imag)),
)


def diagonal_scan(
    a: Inexact[Array, "#B #T *E"],
    x: Inexact[Array, "B T *E"],
    *,
    initial_state: Inexact[Array, "B *E"] | None = None,
    segment_ids: SegmentIds = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Inexact[Array, "B T *E"], Inexact[Array, "B *E"]]:
    """A linear recurrence per channel, real or complex. `sandbox.scans` states the contract.

        h_t = a_t ⊙ h_{t-1} + x_t

    Sources: S4D (arXiv:2206.11893), LRU (arXiv:2303.06349, equations 2 and 3), RG-LRU (Griffin,
    arXiv:2402.19427, section 2.4), HGRN (arXiv:2311.04823), minGRU (arXiv:2410.01201, section 3.1).

    Args:
        a: decays, of modulus <= 1 for a stable recurrence. B or T may be one, if all sequences or tokens share
            the decays.
        x: inputs, with any axes after the first two. Only one of `a` and `x` need be complex.
        initial_state: `[B, …]`; complex only if `a` or `x` is.

    Returns:
        All h_t `[B, T, …]`, and the last one `[B, …]`: in complex64 if `a` or `x` is complex, otherwise in the
        dtype of `x` and in float32.

    Raises:
        ValueError: `initial_state` alone is complex, or as `sandbox.scans` says.
    """
    _check_diagonal(a, x, initial_state)
    batch, channels = x.shape[0], math.prod(x.shape[2:])

    def parts(array: Array) -> tuple[Array, Array | None]:
        """The real part, and the imaginary part or None."""
        return (jnp.real(array), jnp.imag(array)) if jnp.iscomplexobj(array) else (array, None)

    def one_head(array: Array) -> Array:
        """All axes after time as the channels of one head."""
        return array.reshape(*array.shape[:2], 1, channels)

    (a_real, a_imag), (x_real, x_imag) = parts(one_head(a)), parts(one_head(x))
    is_complex = a_imag is not None or x_imag is not None
    state: Any = None
    if initial_state is not None:
        state = initial_state.reshape(batch, 1, channels)
        state = (jnp.real(state), jnp.imag(state)) if is_complex else state
    outputs, final_state = run_rule(
        DIAGONAL_SCAN,
        DiagonalScanInputs(a_real, x_real, a_imag, x_imag),
        dtype=jnp.promote_types(x_real.dtype, jnp.float32) if is_complex else x.dtype,
        initial_state=state,
        segment_ids=segment_ids,
        implementation=implementation,
        chunk_size=chunk_size,
    )
    if is_complex:
        outputs, final_state = lax.complex(*outputs), lax.complex(*final_state)
    return outputs.reshape(x.shape), final_state.reshape(batch, *x.shape[2:])


def _check_diagonal(a: Array, x: Array, initial_state: Array | None) -> None:
    check_is_floating("x", x, "[B, T, …]", may_be_complex=True)
    check_is_floating("a", a, "of the shape of x", may_be_complex=True)
    if x.ndim < 2 or x.shape[1] == 0:
        raise ValueError(f"x has shape {x.shape}, expected [B, T, …] with at least one token (T >= 1)")
    shared_or_not = all(size in (1, of_x) for size, of_x in zip(a.shape[:2], x.shape[:2], strict=False))
    if a.ndim != x.ndim or not shared_or_not or a.shape[2:] != x.shape[2:]:
        raise ValueError(f"a has shape {a.shape}, expected that of x, {x.shape}, where B or T may be one")
    if initial_state is None:
        return
    check_is_floating("initial_state", initial_state, "[B, …]", may_be_complex=True)
    expected = (x.shape[0], *x.shape[2:])
    if initial_state.shape != expected:
        raise ValueError(f"initial_state has shape {initial_state.shape}, expected [B, …] = {expected}")
    if jnp.iscomplexobj(initial_state) and not (jnp.iscomplexobj(a) or jnp.iscomplexobj(x)):
        raise ValueError(
            f"initial_state has dtype {initial_state.dtype}, expected a real one where a and x are real"
        )
