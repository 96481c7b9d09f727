"""What is counted in programs and states: the same on every machine, and done in seconds."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx

from sandbox.cost.flops import analyse
from sandbox.cost.programs import decoding
from sandbox.cost.state import state_bytes
from sandbox.models.lm import LanguageModel, ModelConfig, ModelState
from sandbox.models.mixer import MixerConfig
from sandbox.models.mixers import MIXERS

WIDTH, VOCABULARY = 64, 256


def one_layer(mixer: MixerConfig) -> LanguageModel:
    """A language model with this mixer in its only layer."""
    return ModelConfig(d_model=WIDTH, layout=["mixer"]).make(mixer, VOCABULARY, rngs=nnx.Rngs(0))


def square() -> pd.DataFrame:
    """Multiplications that XLA counts in the compiled products of n queries, keys and values of d numbers each."""
    products: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
        "scores": lambda q, k: q @ k.T,
        "memory": lambda k, v: k.T @ v,
    }
    rows = []
    for d in (16, 64, 256):
        for n in (50, 100, 200, 500, 1000, 2000):
            some = jax.ShapeDtypeStruct((n, d), jnp.float32)
            for product, function in products.items():
                flops = analyse(jax.jit(function).lower(some, some).compile()).flops
                numbers = jax.eval_shape(function, some, some).size
                rows.append(
                    (n, d, product, int(flops or 0) // 2, numbers)
                )  # a multiplication and its addition are two
    return pd.DataFrame(rows, columns=["n", "d", "product", "multiplications", "numbers"])


def tokens() -> pd.DataFrame:
    """Operations of each decoding step, and the bytes held after it, of attention and of a matrix memory."""
    models = {"attention": one_layer(MIXERS["softmax"]()), "recurrence": one_layer(MIXERS["outer"]())}
    rows = [
        (name, token, int(decoding(model, 1, token).trace().flops_per_token or 0), state_bytes(model, token))
        for name, model in models.items()
        for token in range(1, 257)
    ]
    return pd.DataFrame(rows, columns=["model", "token", "operations", "bytes"])


def family() -> pd.DataFrame:
    """What the card of each mixer says of its forgetting, and the bytes of its state by length."""
    lengths = [2**power for power in range(6, 14)]
    rows = []
    for name, kind in MIXERS.items():
        model = one_layer(kind())
        sizes = {f"bytes at {length}": state_bytes(model, length) for length in lengths}
        rows.append({"mixer": name, "forgets": kind.card.decay, "equation": kind.card.equation} | sizes)
    return pd.DataFrame(rows)


def handing_over() -> pd.DataFrame:
    """How far the next logits of a model that was handed a state are from those of one that read everything."""
    rows = [
        (name, prompt, *_difference(one_layer(MIXERS[name]()), prompt))
        for name in ("softmax", "retnet", "gla", "mamba2", "gated_deltanet", "rwkv7")
        for prompt in (64, 1024)
    ]
    return pd.DataFrame(rows, columns=["mixer", "prompt", "difference", "largest_logit"])


def _difference(model: LanguageModel, prompt: int, more: int = 16) -> tuple[float, float]:
    text = jax.random.randint(jax.random.key(0), (1, prompt + more), 0, VOCABULARY)
    whole = np.asarray(nnx.jit(lambda model, tokens: model(tokens))(model, text))[0, prompt:]
    read = nnx.jit(lambda model, tokens: model.prefill(tokens, model.init_state(1, prompt + more))[1])
    state = jax.tree.map(np.asarray, read(model, text[:, :prompt]))  # plain numbers, as they would be sent
    logits = np.stack(list(_decoded(model, state, text[0, prompt:])))
    return float(np.abs(logits - whole).max()), float(np.abs(whole).max())


def _decoded(model: LanguageModel, state: ModelState, text: jax.Array) -> Iterator[np.ndarray]:
    step = nnx.jit(lambda model, token, state: model.step(token, state))
    for token in text:
        logits, state = step(model, token[None], state)
        yield np.asarray(logits)[0]


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    function.__name__: function for function in (square, tokens, family, handing_over)
}
