"""Linear attention and its gated kin against layers around the plain recurrences of flash-linear-attention.

Its own layers need a GPU. The layers here are their formulas in plain PyTorch, with our weights.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scan_peers import fla, heads_first, torch
from torch.nn.functional import elu, logsigmoid, silu
from weights import randomize, relative_error, to_torch

from sandbox.models.mixers.gla import GLAConfig
from sandbox.models.mixers.hgrn2 import HGRN2Config
from sandbox.models.mixers.linear_attention import BasedConfig, LinearAttentionConfig
from sandbox.models.mixers.retnet import RetNetConfig

D_MODEL, HEADS, KEYS, LENGTH = 12, 3, 4, 13


def heads(x):
    return x.reshape(*x.shape[:2], HEADS, -1)


def rms_norm(x, scale, epsilon=1e-6):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * scale


def linear_attention(x, w):
    q, k, v = (heads(x @ w[f"{name}.kernel"]) for name in "qkv")
    recurrence = fla("linear_attn/naive").naive_recurrent_linear_attn
    read, (memory, weights) = recurrence(
        elu(q) + 1, elu(k) + 1, v, scale=1.0, output_final_state=True, normalize=True
    )
    state = torch.cat([memory, weights.transpose(1, 2).mT], dim=-1)
    return read.flatten(2) @ w["out.kernel"], state


def based(x, w):
    q, k, v = heads_first(*(heads(x @ w[f"{name}.kernel"]) for name in "qkv"))
    (read,) = heads_first(fla("based/naive").naive_parallel_based(q, k, v))
    return read.flatten(2) @ w["out.kernel"], None


def retnet(x, w):
    """Channels i and i + K/2 are one complex number, which its position turns."""
    q, k, v = (heads(x @ w[f"{name}.kernel"]) for name in "qkv")
    frequencies = 10_000 ** (-torch.arange(0, KEYS, 2) / KEYS)
    turns = torch.exp(1j * torch.arange(x.shape[1])[:, None] * frequencies)[None, :, None]
    q, k = (torch.complex(*z.chunk(2, -1)) * turns for z in (q, k))
    q, k = (torch.cat([z.real, z.imag], -1) for z in (q, k))
    (read,) = heads_first(fla("retention/naive").naive_retention(*heads_first(q, k, v)))
    read = torch.nn.functional.layer_norm(read, read.shape[-1:])
    return (silu(x @ w["gate.kernel"]) * read.flatten(2)) @ w["out.kernel"], None


def gla(x, w):
    q, k, v = (heads(x @ w[f"{name}.kernel"]) for name in "qkv")
    logits = x @ w["decay.down.kernel"] @ w["decay.up.kernel"] + w["decay.up.bias"]
    recurrence = fla("gla/naive").naive_recurrent_gla
    read, state = recurrence(q, k, v, heads(logsigmoid(logits) / 16), output_final_state=True)
    gate = silu(x @ w["gate.kernel"])
    return (gate * rms_norm(read, w["norm.scale"]).flatten(2)) @ w["out.kernel"], state


def hgrn2(x, w, bound=0.25):
    forget = bound + (1 - bound) * torch.sigmoid(x @ w["forget.kernel"])
    q, k, v, log_decay = (
        heads(part) for part in (silu(x @ w["q.kernel"]), 1 - forget, x @ w["v.kernel"], forget.log())
    )
    read, state = fla("gla/naive").naive_recurrent_gla(q * KEYS**0.5, k, v, log_decay, output_final_state=True)
    return rms_norm(read.flatten(2), w["norm.scale"]) @ w["out.kernel"], state


SIZES = {"d_state": KEYS, "num_heads": HEADS}


@pytest.mark.parametrize(
    ("config", "theirs"),
    [
        (LinearAttentionConfig(**SIZES), linear_attention),
        (BasedConfig(**SIZES), based),
        (RetNetConfig(**SIZES), retnet),
        (GLAConfig(**SIZES), gla),
        (HGRN2Config(**SIZES, lower_bound=0.25), hgrn2),
    ],
    ids=["linear_attention", "based", "retnet", "gla", "hgrn2"],
)
def test_a_layer_around_the_recurrence_of_fla_computes_the_same(config, theirs):
    mixer = randomize(config.make(D_MODEL, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(0).normal(size=(2, LENGTH, D_MODEL)).astype(np.float32)
    parameters = nnx.to_flat_state(nnx.state(mixer, nnx.Param))
    weights = {".".join(path): to_torch(variable[...]) for path, variable in parameters}
    expected, expected_state = theirs(torch.tensor(x), weights)
    found, state = jax.jit(mixer.prefill)(jnp.asarray(x), mixer.init_state(2, LENGTH))
    assert relative_error(expected, found) < 1e-5
    if expected_state is not None:
        memory = state.memory if hasattr(state, "memory") else state
        assert relative_error(expected_state, memory) < 1e-5
