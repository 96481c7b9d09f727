"""The public functions of the rules that keep something of its own for every channel, and have no heads.

All take `[B, T, …]` arrays, any T >= 1, and return `(outputs, final_state)`. Inputs may be bfloat16 or float32
(`diagonal_scan`: complex as well); the state is float32 (complex64). All are differentiable in every array
argument and may be used under `jit`, `vmap`, `grad`, `lax.scan` and `jax.checkpoint`. Called with T = 1 they
take one step of the definition without any loop: this is how a model decodes.
"""

import math
from statistics import mode

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Inexact

from sandbox.scans.argument_checks import check_is_a, check_is_floating, check_shape, read_dims
from sandbox.scans.dispatch import run_rule
from sandbox.scans.rule import State
from sandbox.scans.rules.diagonal_scan import DIAGONAL_SCAN, DiagonalScanInputs
from sandbox.scans.rules.selective_scan import SELECTIVE_SCAN, SelectiveScanInputs
from sandbox.scans.rules.wkv4 import WKV4, WKV4Inputs, WKV4State


def diagonal_scan(
    a: Inexact[Array, "#B #T *E"],
    x: Inexact[Array, "B T *E"],
    *,
    initial_state: Inexact[Array, "B *E"] | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Inexact[Array, "B T *E"], Inexact[Array, "B *E"]]:
    """A linear recurrence of every channel by itself, real or complex.

        h_t = a_t ⊙ h_{t-1} + x_t

    Sources: S4D (arXiv:2206.11893), LRU (arXiv:2303.06349, equations 2 and 3), RG-LRU (Griffin,
    arXiv:2402.19427, section 2.4), HGRN (arXiv:2311.04823), minGRU (arXiv:2410.01201, section 3.1).

    Args:
        a: the decays, of modulus <= 1 for a stable recurrence. Axis B or T, or both, may be one: decays that
            all sequences share, or that are the same for every token.
        x: what is added, with any axes after the first two. One of `a` and `x` may be complex alone.
        initial_state: the state before the first token; zeros when None. Complex only if `a` or `x` is.
        implementation: a name in `IMPLEMENTATIONS`, or "auto" (see `resolve_implementation`).
        chunk_size: tokens between the states that the chunked form keeps, a power of two; None is the default
            of the rule.

    Returns:
        Every h_t `[B, T, …]`, and the last one `[B, …]`. Both are complex64 if `a` or `x` is complex; otherwise
        every h_t is in the dtype of `x` and the last one in float32.

    Raises:
        ValueError: a shape is wrong, only `initial_state` is complex, `implementation` is unknown, or
            `chunk_size` is not a power of two.
        NotImplementedError: the named implementation cannot run this rule.
    """
    _check_diagonal(a, x, initial_state)
    leading, trailing = x.shape[:2], x.shape[2:]
    channels = math.prod(trailing)

    def parts(array: Array) -> tuple[Array, Array | None]:
        """The real part, and the imaginary part if there is one."""
        return (jnp.real(array), jnp.imag(array)) if jnp.iscomplexobj(array) else (array, None)

    def one_head(array: Array) -> Array:
        """Everything after time as the channels of one head."""
        return array.reshape(*array.shape[:2], 1, channels)

    (a_real, a_imag), (x_real, x_imag) = parts(one_head(a)), parts(one_head(x))
    is_complex = a_imag is not None or x_imag is not None
    state: State | None = None
    if initial_state is not None:
        state = initial_state.reshape(leading[0], 1, channels)
        state = (jnp.real(state), jnp.imag(state)) if is_complex else state
    outputs, final_state = run_rule(
        DIAGONAL_SCAN,
        DiagonalScanInputs(a_real, x_real, a_imag, x_imag),
        dtype=jnp.promote_types(x_real.dtype, jnp.float32) if is_complex else x.dtype,
        initial_state=state,
        implementation=implementation,
        chunk_size=chunk_size,
    )
    if is_complex:
        outputs, final_state = lax.complex(*outputs), lax.complex(*final_state)
    return outputs.reshape(x.shape), final_state.reshape(leading[0], *trailing)


def selective_scan(
    x: Float[Array, "B T E"],
    dt: Float[Array, "B T E"],
    A: Float[Array, "E N"],
    Bm: Float[Array, "B T N"],
    Cm: Float[Array, "B T N"],
    *,
    initial_state: Float[Array, "B E N"] | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T E"], Float[Array, "B E N"]]:
    """The state-space model of Mamba-1: every channel is kept in N numbers that decay at rates of their own.

        h_t = exp(dt_t A) h_{t-1} + dt_t Bm_t x_t ,   y_t = Cm_t · h_t

    Source: Mamba (arXiv:2312.00752, section 3.2, algorithm 2). Its skip `D ⊙ x_t` and its gate are left to the
    caller.

    Args:
        x: what the channels are given.
        dt: the step sizes, >= 0: how far a token moves the state.
        A: the rates, <= 0.
        Bm: the direction in which a token is written, shared by the channels.
        Cm: the direction in which the state is read, shared by the channels.
        initial_state: the state before the first token; zeros when None.
        implementation: a name in `IMPLEMENTATIONS`, or "auto" (see `resolve_implementation`).
        chunk_size: tokens between the states that the chunked form keeps, a power of two; None is the default
            of the rule.

    Returns:
        The outputs `[B, T, E]` in the dtype of `x`, and the state after the last token in float32.

    Raises:
        ValueError: a shape is wrong, `implementation` is unknown, or `chunk_size` is not a power of two.
        NotImplementedError: the named implementation cannot run this rule.
    """
    dims = read_dims("x", x, "BTE")
    # What most of them say: one may be wrong.
    dims["N"] = mode([array.shape[-1] for array in (Bm, Cm, A) if jnp.ndim(array)] or [0])
    check_shape("dt", dt, "BTE", dims)
    check_shape("A", A, "EN", dims)
    check_shape("Bm", Bm, "BTN", dims)
    check_shape("Cm", Cm, "BTN", dims)
    if initial_state is not None:
        check_shape("initial_state", initial_state, "BEN", dims)
    outputs, final_state = run_rule(
        SELECTIVE_SCAN,
        SelectiveScanInputs(x[:, :, None], dt[:, :, None], A.T[None, None, None], Bm[:, :, None], Cm[:, :, None]),
        dtype=x.dtype,
        initial_state=None if initial_state is None else jnp.swapaxes(initial_state, 1, 2)[:, None],
        implementation=implementation,
        chunk_size=chunk_size,
    )
    return outputs[:, :, 0], jnp.swapaxes(final_state[:, 0], 1, 2)


def wkv4(
    k: Float[Array, "B T E"],
    v: Float[Array, "B T E"],
    w: Float[Array, "E"],
    u: Float[Array, "E"],
    *,
    initial_state: WKV4State | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T E"], WKV4State]:
    """The average of the values of each channel that RWKV-4 takes, safe for keys of any size.

        o_t = Σ_{i<=t} c_i v_i / Σ_{i<=t} c_i     with  c_i = exp(-(t-1-i) w + k_i) for i < t,  c_t = exp(u + k_t)

    Source: RWKV-4 (arXiv:2305.13048, section 3, and its appendix on numerical stability). Its receptance gate
    is left to the caller.

    Args:
        k: the log of the weight of a token.
        v: the values.
        w: how much the log weight of a token falls with each later one, > 0.
        u: what the current token has in place of a decay.
        initial_state: the state before the first token, three `[B, E]`: the sums of c_i v_i and of c_i, both
            divided by exp(maximum); empty sums when None.
        implementation: a name in `IMPLEMENTATIONS`, or "auto" (see `resolve_implementation`).
        chunk_size: tokens between the states that the chunked form keeps, a power of two; None is the default
            of the rule.

    Returns:
        The outputs `[B, T, E]` in the dtype of `v`, and the state after the last token, three `[B, E]` in
        float32. Its maximum is a choice of scale: a constant to the gradient.

    Raises:
        ValueError: a shape is wrong, `implementation` is unknown, or `chunk_size` is not a power of two.
        NotImplementedError: the named implementation cannot run this rule.
    """
    dims = read_dims("k", k, "BTE")
    check_shape("v", v, "BTE", dims)
    check_shape("w", w, "E", dims)
    check_shape("u", u, "E", dims)
    state = None
    if initial_state is not None:
        check_is_a(WKV4State, "initial_state", initial_state)
        for name, array in initial_state._asdict().items():
            check_shape(f"initial_state.{name}", array, "BE", dims)
        state = WKV4State(*(array[:, None] for array in initial_state))
    outputs, final_state = run_rule(
        WKV4,
        WKV4Inputs(k[:, :, None], v[:, :, None], w[None, None, None], u[None, None, None]),
        dtype=v.dtype,
        initial_state=state,
        implementation=implementation,
        chunk_size=chunk_size,
    )
    return outputs[:, :, 0], WKV4State(*(array[:, 0] for array in final_state))


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
