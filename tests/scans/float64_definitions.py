"""The rules written plainly, one token at a time, for float64: nothing here is imported from the package.

Each takes the state `[B, H, K, V]` and the inputs of a token `[B, H, …]` (`[1, H, …]` where they are fixed
over time) as numpy or jax arrays.
"""

import jax
import jax.numpy as jnp
import numpy as np


def outer(key, value):
    return key[..., :, None] * value[..., None, :]


def read(state, query):
    return (state * query[..., None]).sum(axis=-2)


def gated_linear_attention(state, q, k, v, decay, bonus=None):
    after = decay[..., None] * state + outer(k, v)
    return after, read(after if bonus is None else state + bonus[..., None] * outer(k, v), q)


def gated_delta_rule(state, q, k, v, decay, beta):
    step_size = beta[..., None, None]
    erase = np.eye(k.shape[-1])[None, None] - step_size * outer(k, k)
    decayed = decay[..., None] * state
    after = (erase[..., None] * decayed[:, :, None]).sum(axis=-2) + step_size * outer(k, v)
    return after, read(after, q)


DEFINITIONS = {
    "gated_linear_attention": gated_linear_attention,
    "gated_delta_rule": gated_delta_rule,
}


def split_time(xp, q, v, log_decay=None, bonus=None, initial_state=None, **others):
    """The first state and the inputs of all tokens, time first, from the arguments of a public function."""
    num_tokens, heads = q.shape[1:3]

    def over_time(array):
        if array.ndim == 2:
            return xp.broadcast_to(array[None, None], (num_tokens, 1, *array.shape))
        return xp.moveaxis(array, 1, 0)

    if initial_state is None:
        initial_state = xp.zeros((q.shape[0], heads, q.shape[3], v.shape[3]), np.float64)
    log_decay = xp.zeros((heads, 1), np.float64) if log_decay is None else log_decay
    tokens = {"q": q, "v": v, "decay": xp.exp(log_decay), **others}
    if bonus is not None:
        tokens["bonus"] = bonus
    return initial_state, {name: over_time(array) for name, array in tokens.items()}


def outputs_and_final_state(rule, arguments):
    """By numpy, in a loop."""
    state, tokens = split_time(np, **arguments)
    outputs = []
    for t in range(arguments["q"].shape[1]):
        state, output = DEFINITIONS[rule](state, **{name: array[t] for name, array in tokens.items()})
        outputs.append(output)
    return np.stack(outputs, axis=1), state


def gradients(rule, arguments, cotangents):
    """Of every argument, by jax in float64, pulled back from the outputs and the final state."""
    with jax.enable_x64(True):
        found = _pull_back[rule](arguments, tuple(np.asarray(array, np.float64) for array in cotangents))
    assert all(array.dtype == np.float64 for array in found.values())
    return {name: np.asarray(array) for name, array in found.items()}


def _pull_back_through(definition):
    def run(arguments):
        state, tokens = split_time(jnp, **arguments)
        final_state, outputs = jax.lax.scan(lambda state, token: definition(state, **token), state, tokens)
        return jnp.moveaxis(outputs, 0, 1), final_state

    return jax.jit(lambda arguments, cotangents: jax.vjp(run, arguments)[1](cotangents)[0])


_pull_back = {rule: _pull_back_through(definition) for rule, definition in DEFINITIONS.items()}
