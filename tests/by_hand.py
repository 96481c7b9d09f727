"""What definitions of mixers in NumPy are made of: parameters in float64, activations, a loop over tokens."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

WIDTH, TOKENS, HEADS = 12, 9, 2


def made(config, **added):
    """A mixer whose parameters are away from their start, its parameters in float64, an input, and its output.

    `added` goes to parameters by name.
    """
    mixer = config.make(WIDTH, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    moved = jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape), nnx.state(mixer, nnx.Param))
    nnx.update(mixer, jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), moved))
    for name, values in added.items():
        parameter = getattr(mixer, name)
        parameter[...] = parameter[...] + values
    x = jax.random.normal(jax.random.key(1), (1, TOKENS, WIDTH))
    params = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(mixer, nnx.Param))):
        params[".".join(str(key.key) for key in path)] = np.asarray(leaf, np.float64)
    return params, np.asarray(x[0], np.float64), np.asarray(mixer(x)[0], np.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def silu(x):
    return x * sigmoid(x)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def rms(x, scale=1.0, epsilon=1e-5):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + epsilon) * scale


def causal(kernel, x):
    """The short convolution, whose kernel has the token itself first."""
    padded = np.concatenate([np.zeros((len(kernel) - 1, x.shape[1])), x])
    return sum(padded[i : i + TOKENS] * kernel[-1 - i] for i in range(len(kernel)))


def convolved(params, x):
    """silu of the short convolution over queries, keys and values."""
    return silu(causal(params["conv.kernel"], x @ params["qkv.kernel"]))


def run(step, shape):
    """What each token reads, as `step(state, token)` says for each head."""
    state, read = np.zeros((HEADS, *shape)), []
    for token in range(TOKENS):
        out = []
        for head in range(HEADS):
            state[head], y = step(state[head], token, head)
            out.append(y)
        read.append(out)
    return np.array(read)


def split(x, *sizes):
    return [
        part.reshape(TOKENS, *size) for part, size in zip(np.split(x, _ends(sizes), axis=1), sizes, strict=True)
    ]


def _ends(sizes):
    return np.cumsum([np.prod(size) for size in sizes])[:-1]


def scalar_decay(params, x):
    return np.exp(-np.exp(params["log_rates"]) * softplus(x @ params["dt.kernel"] + params["dt_bias"]))


def channel_log_decay(params, x):
    """Per head and row, as in Kimi Delta Attention."""
    dt = x @ params["dt.down.kernel"] @ params["dt.up.kernel"] + params["dt_bias"].ravel()
    return -np.exp(params["log_rates"]) * softplus(dt.reshape(TOKENS, HEADS, -1))


def low_rank_gate(params):
    return lambda x: sigmoid(x @ params["gate.down.kernel"] @ params["gate.up.kernel"])


def finished(params, x, read, gate):
    normal = rms(read, params["norm.scale"]).reshape(TOKENS, -1)
    return normal * gate(x) @ params["out.kernel"]


def level_weights(params, x):
    raw = (x @ params["levels.from_x.kernel"]).reshape(TOKENS, *params["levels.scale"].shape)
    return softplus(params["levels.scale"] * raw)
