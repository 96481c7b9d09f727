"""The public functions of rules with a matrix state, as the papers write them, one token at a time.

For float64: nothing is stabilised, and nothing is imported from the package. Arguments are those of the public
functions; states are tuples where theirs are.
"""

import jax
import jax.numpy as jnp


def outer(x, y):
    return x[..., :, None] * y[..., None, :]


def read(state, query):
    return jnp.einsum("bhkv,bhk->bhv", state, query)


def over_tokens(step, state, **tokens):
    """`step(state, **token)` for every token of arrays `[B, T, …]`."""
    tokens = {name: jnp.moveaxis(array, 1, 0) for name, array in tokens.items()}
    state, outputs = jax.lax.scan(lambda state, token: step(state, **token), state, tokens)
    return jnp.moveaxis(outputs, 0, 1), state


def empty(q, v):
    return jnp.zeros((q.shape[0], q.shape[2], q.shape[3], v.shape[3]), q.dtype)


def decay_matrix(log_decay, q):
    """diag(exp(log_decay)) of every token."""
    decay = jnp.ones_like(q) if log_decay is None else jnp.broadcast_to(jnp.exp(log_decay), q.shape)
    return jnp.einsum("bthi,ij->bthij", decay, jnp.eye(q.shape[-1]))


def gated_linear_attention(q, k, v, log_decay=None, bonus=None, *, initial_state=None):
    def step(state, q, k, v, decay):
        after = decay @ state + outer(k, v)
        return after, read(after if bonus is None else state + outer(bonus[None] * k, v), q)

    state = empty(q, v) if initial_state is None else initial_state
    return over_tokens(step, state, q=q, k=k, v=v, decay=decay_matrix(log_decay, q))


def gated_delta_rule(q, k, v, beta, log_decay=None, *, initial_state=None):
    def step(state, q, k, v, beta, decay):
        step_size = beta[..., None, None]
        kept = jnp.eye(k.shape[-1])[None, None] - step_size * outer(k, k)
        state = kept @ decay @ state + step_size * outer(k, v)
        return state, read(state, q)

    state = empty(q, v) if initial_state is None else initial_state
    return over_tokens(step, state, q=q, k=k, v=v, beta=beta, decay=decay_matrix(log_decay, q))


def generalized_delta_rule(q, k, v, a, b, log_decay=None, *, initial_state=None):
    def step(state, q, k, v, a, b, decay):
        state = (decay + outer(b, a)) @ state + outer(k, v)
        return state, read(state, q)

    state = empty(q, v) if initial_state is None else initial_state
    return over_tokens(step, state, q=q, k=k, v=v, a=a, b=b, decay=decay_matrix(log_decay, q))


def mlstm(q, k, v, input_gate, log_forget, *, initial_state=None):
    """Without units, as in section 2.3 of the paper. Only the states before and after are in units of exp(m)."""

    def step(state, q, k, v, i, f):
        memory, normalizer, unit = state
        keep, write = jnp.exp(f)[..., None], jnp.exp(i)[..., None]
        memory = keep[..., None] * memory + write[..., None] * outer(k, v)
        normalizer = keep * normalizer + write * k
        weight = jnp.abs((normalizer * q).sum(-1))
        state = memory, normalizer, jnp.maximum(f + unit, i)
        return state, read(memory, q) / jnp.maximum(weight, 1.0)[..., None]

    memory = empty(q, v)
    normalizer, unit = memory[..., 0], memory[..., 0, 0]
    if initial_state is not None:
        memory, normalizer, unit = initial_state
        memory, normalizer = memory * jnp.exp(unit), (normalizer * jnp.exp(unit))[..., 0, :]
        unit = unit[..., 0, 0]
    outputs, (memory, normalizer, unit) = over_tokens(
        step, (memory, normalizer, unit), q=q, k=k, v=v, i=input_gate, f=log_forget
    )
    unit = jax.lax.stop_gradient(unit)[..., None, None]
    return outputs, (memory * jnp.exp(-unit), normalizer[..., None, :] * jnp.exp(-unit), unit)


def momentum_delta_rule(q, k, p, v, log_decay, share, log_momentum, rate, *, initial_state=None):
    def step(state, q, k, p, v, decay, share, momentum, rate):
        moved, memory = state
        moved = momentum[..., None, None] * moved + outer(rate[..., None] * k, v - read(memory, p))
        memory = decay[..., None, None] * memory + share[..., None, None] * moved
        return (moved, memory), read(memory, q)

    state = (empty(q, v), empty(q, v)) if initial_state is None else tuple(initial_state)
    gates = {"decay": jnp.exp(log_decay), "share": share, "momentum": jnp.exp(log_momentum), "rate": rate}
    return over_tokens(step, state, q=q, k=k, p=p, v=v, **gates)
