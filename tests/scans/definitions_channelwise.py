"""The rules without heads as their papers write them, for float64; nothing is imported from the package.

Each is a plain scan over time of the arguments of the public function, and returns `(outputs, final_state)`;
states are tuples where theirs are.
"""

import jax
import jax.numpy as jnp


def over_time(step, state, *arrays):
    state, outputs = jax.lax.scan(step, state, tuple(jnp.moveaxis(array, 1, 0) for array in arrays))
    return jnp.moveaxis(outputs, 0, 1), state


def diagonal_scan(a, x, *, initial_state=None):
    """LRU (arXiv:2303.06349), equation 2, in complex numbers where an argument is complex."""

    def step(h, inputs):
        a_t, x_t = inputs
        h = a_t * h + x_t
        return h, h

    a = jnp.broadcast_to(a, x.shape)
    h = jnp.zeros_like(x[:, 0]) if initial_state is None else initial_state
    return over_time(step, h.astype(jnp.result_type(a, x)), a, x)


def selective_scan(x, dt, A, Bm, Cm, *, initial_state=None):
    """Mamba (arXiv:2312.00752), algorithm 2, state `[B, E, N]`."""

    def step(h, inputs):
        x_t, dt_t, b_t, c_t = inputs
        h = jnp.exp(dt_t[:, :, None] * A[None]) * h + dt_t[:, :, None] * b_t[:, None, :] * x_t[:, :, None]
        return h, (c_t[:, None, :] * h).sum(axis=2)

    h = jnp.zeros((x.shape[0], *A.shape)) if initial_state is None else initial_state
    return over_time(step, h, x, dt, Bm, Cm)


def wkv4(k, v, w, u, *, initial_state=None):
    """RWKV-4 (arXiv:2305.13048): both sums as they are written, which float64 holds up to keys of 700.

    Only the states before and after are in units of exp(maximum), the largest weight so far.
    """

    def step(state, inputs):
        numerator, denominator, maximum = state
        k_t, v_t = inputs
        now, weight = jnp.exp(u[None] + k_t), jnp.exp(k_t)
        output = (numerator + now * v_t) / (denominator + now)
        kept = jnp.exp(-w)[None]
        state = kept * numerator + weight * v_t, kept * denominator + weight, jnp.maximum(maximum - w[None], k_t)
        return state, output

    nothing = jnp.zeros_like(k[:, 0])
    numerator, denominator, maximum = (
        (nothing, nothing, nothing - jnp.inf) if initial_state is None else initial_state
    )
    state = numerator * jnp.exp(maximum), denominator * jnp.exp(maximum), maximum
    outputs, (numerator, denominator, maximum) = over_time(step, state, k, v)
    maximum = jax.lax.stop_gradient(maximum)
    return outputs, (numerator * jnp.exp(-maximum), denominator * jnp.exp(-maximum), maximum)
