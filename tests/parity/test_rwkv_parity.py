"""RWKV against others: version 4 against transformers, and 5 to 7 against layers around recurrences of fla.

The layers of flash-linear-attention need a GPU. Those here are the formulas of RWKV's own code in plain PyTorch,
with our weights, around the plain recurrences that fla keeps beside its kernels.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scan_peers import dplr, rwkv6, torch, transformers
from torch.nn.functional import group_norm, normalize, silu
from weights import randomize, relative_error, set_param, to_torch

from sandbox.models.channel_mixers import ChannelMixer, make_channel_mixer
from sandbox.models.mixers.rwkv4 import RWKV4Config
from sandbox.models.mixers.rwkv5 import RWKV5Config
from sandbox.models.mixers.rwkv6 import RWKV6Config
from sandbox.models.mixers.rwkv7 import RWKV7Config

D_MODEL, HEADS, KEYS, CHANNELS, LENGTH = 12, 2, 4, 10, 13


def inputs():
    return np.random.default_rng(0).normal(size=(2, LENGTH, D_MODEL)).astype(np.float32)


def peer(kind, **options):
    """A layer of transformers, with values for the parameters that it leaves without, and an empty state."""
    rwkv = transformers("rwkv")
    config = rwkv.RwkvConfig(hidden_size=D_MODEL, num_hidden_layers=1, **options)
    layer = getattr(rwkv, kind)(config)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    widths = [D_MODEL, D_MODEL, CHANNELS, CHANNELS, CHANNELS]
    state = [torch.zeros(2, width, 1) for width in widths]
    state[4] -= 1e30
    return randomize(layer), state


def set_shift(ours, layer, *names):
    """They keep the share of the token itself."""
    set_param(ours.shares, torch.stack([1 - getattr(layer, f"time_mix_{name}")[0, 0] for name in names]))


def test_time_mixing_of_rwkv4():
    layer, state = peer("RwkvSelfAttention", attention_hidden_size=CHANNELS)
    mixer = RWKV4Config(d_state=CHANNELS).make(D_MODEL, rngs=nnx.Rngs(0))
    set_shift(mixer.shift, layer, "receptance", "key", "value")
    for ours, theirs in (("r", "receptance"), ("k", "key"), ("v", "value"), ("out", "output")):
        set_param(getattr(mixer, ours).kernel, getattr(layer, theirs).weight.T)
    set_param(mixer.decay, layer.time_decay)
    set_param(mixer.bonus, layer.time_first)

    x = inputs()
    with torch.no_grad():
        expected, state = layer(torch.tensor(x), state=state, use_cache=True)
    found, ours = jax.jit(mixer.prefill)(jnp.asarray(x), mixer.init_state(2, LENGTH))
    assert relative_error(expected, found) < 1e-5
    for one, other in zip(state[1:], (ours.last_token, *ours.memory), strict=True):
        assert relative_error(one[..., 0], other) < 1e-5


@pytest.mark.parametrize(
    ("version", "width"), [("rwkv4", 4 * D_MODEL), ("rwkv5", 42), ("rwkv6", 42), ("rwkv7", 4 * D_MODEL)]
)
def test_channel_mixing(version, width):
    """RWKV-4's layer, in the width of each version. RWKV-7 has no receptance: σ(0) = 1/2 stands in for it."""
    layer, state = peer("RwkvFeedForward", intermediate_size=width)
    mixer = make_channel_mixer(ChannelMixer[version], D_MODEL, rngs=nnx.Rngs(0), dtype=jnp.float32)
    set_param(mixer.k.kernel, layer.key.weight.T)
    if mixer.r is None:
        assert version == "rwkv7"
        set_shift(mixer.shift, layer, "key")
        set_param(mixer.v.kernel, layer.value.weight.T / 2)
        torch.nn.init.zeros_(layer.receptance.weight)
    else:
        set_shift(mixer.shift, layer, "key", "receptance")
        set_param(mixer.v.kernel, layer.value.weight.T)
        set_param(mixer.r.kernel, layer.receptance.weight.T)

    x = inputs()
    with torch.no_grad():
        expected, state = layer(torch.tensor(x), state=state)
    found, carried = mixer.prefill(jnp.asarray(x), mixer.init_state(2, LENGTH))
    assert relative_error(expected, found) < 1e-5
    assert relative_error(state[0][..., 0], carried.last_token) < 1e-5


def heads(x):
    return x.reshape(*x.shape[:-1], HEADS, -1)


def before(x):
    """The token before, and a zero before the first."""
    return torch.nn.functional.pad(x, (0, 0, 1, -1))


def normalised(read, w):
    """Group norm over the channels of each head, as PyTorch has it."""
    scale, bias = w["norm.scale"].flatten(), w["norm.bias"].flatten()
    flat = group_norm(read.flatten(0, 1).flatten(1), HEADS, scale, bias, eps=1e-5 * KEYS)
    return flat.reshape(*read.shape[:2], -1)


def around_wkv(xr, xk, xv, xg, log_decay, w):
    """What RWKV-5 and 6 share."""
    r, k, v = heads(xr @ w["r.kernel"]), heads(xk @ w["k.kernel"]), heads(xv @ w["v.kernel"])
    read, state = rwkv6(r, k, v, log_decay.expand_as(r), w["bonus"], torch.zeros(2, HEADS, KEYS, v.shape[-1]))
    return (normalised(read, w) * silu(xg @ w["gate.kernel"])) @ w["out.kernel"], state


def rwkv5_layer(x, w):
    mixtures = [x * (1 - share) + before(x) * share for share in w["shift.shares"]]
    return around_wkv(*mixtures, -torch.exp(w["decay"]), w)


def rwkv6_layer(x, w):
    difference = before(x) - x
    low = torch.tanh((x + difference * w["shift.first"]) @ w["shift.down.kernel"]).unflatten(-1, (5, -1))
    shares = w["shift.shares"] + torch.einsum("btir,ird->btid", low, w["shift.up"])
    *mixtures, xw = (x[..., None, :] + difference[..., None, :] * shares).unbind(-2)
    from_x = torch.tanh(xw @ w["decay_from_x.down.kernel"]) @ w["decay_from_x.up.kernel"]
    return around_wkv(*mixtures, -torch.exp(w["decay"] + heads(from_x)), w)


def rwkv7_layer(x, w):
    xr, xk, xv, xg, xd, xa = (x + (before(x) - x) * share for share in w["shift.shares"])

    def low_rank(name, x, activation):
        return activation(x @ w[f"{name}.down.kernel"]) @ w[f"{name}.up.kernel"]

    r, k, v = heads(xr @ w["r.kernel"]), heads(xk @ w["k.kernel"]), heads(xv @ w["v.kernel"])
    log_log_decay = -torch.nn.functional.softplus(-(w["decay"] + heads(low_rank("decay_from_x", xd, torch.tanh))))
    rate = torch.sigmoid(w["rate"] + heads(low_rank("rate_from_x", xa, torch.nn.Identity())))
    removed = normalize(k * w["removal"], dim=-1)
    k = k + k * (rate - 1) * w["replacement"]
    empty = torch.zeros(2, HEADS, KEYS, v.shape[-1])
    read, state = dplr(r, k, v, -removed, removed * rate, -torch.exp(log_log_decay - 0.5), empty)
    now = (r * k * w["bonus"]).sum(-1, keepdim=True) * v
    y = (normalised(read, w) + now.flatten(2)) * low_rank("gate", xg, torch.sigmoid)
    return y @ w["out.kernel"], state


def weights_of(module):
    parameters = nnx.to_flat_state(nnx.state(module, nnx.Param))
    return {".".join(path): to_torch(variable[...]) for path, variable in parameters}


SIZES = {"d_state": KEYS, "num_heads": HEADS}


@pytest.mark.parametrize(
    ("config", "theirs"),
    [
        (RWKV5Config(**SIZES), rwkv5_layer),
        (RWKV6Config(**SIZES, shift_rank=3, decay_rank=5), rwkv6_layer),
        (RWKV7Config(**SIZES, decay_rank=3, rate_rank=5, gate_rank=7), rwkv7_layer),
    ],
    ids=["rwkv5", "rwkv6", "rwkv7"],
)
def test_time_mixing_around_the_recurrence_of_fla(config, theirs):
    mixer, x = randomize(config.make(D_MODEL, rngs=nnx.Rngs(0))), inputs()
    expected, expected_memory = theirs(torch.tensor(x), weights_of(mixer))
    found, state = jax.jit(mixer.prefill)(jnp.asarray(x), mixer.init_state(2, LENGTH))
    assert relative_error(expected, found) < 1e-5
    assert relative_error(expected_memory, state.memory) < 1e-5
    assert relative_error(x[:, -1], state.last_token) == 0
