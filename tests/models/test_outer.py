"""The controlled mixer against its equations, and its axes at the values where they are neutral."""

import pathlib
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_hand import HEADS, TOKENS, WIDTH, made, rms, run, sigmoid, split, unit
from flax import nnx

from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.outer import Decay, Eigenvalues, Erase, OuterConfig, Update

ROWS, COLUMNS = 4, WIDTH // HEADS
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "outer.md"
MADE = runpy.run_path(str(PAGE.with_name("outer_page.py")))


def config(update, erase="same", eigenvalues="positive", decay="none", **options):
    axes = {"erase": Erase[erase], "eigenvalues": Eigenvalues[eigenvalues], "decay": Decay[decay]}
    return OuterConfig(d_state=ROWS, num_heads=HEADS, update=Update[update], **axes, **options)


def turned(vectors, angles):
    """Rows 2i and 2i + 1 as complex numbers, times exp(i angle)."""
    pairs = (vectors[..., ::2] + 1j * vectors[..., 1::2]) * np.exp(1j * angles)
    return np.stack([pairs.real, pairs.imag], axis=-1).reshape(vectors.shape)


def decays(params, x, options):
    """γ of each token, head and row."""
    if options.decay is Decay.none:
        return np.ones((TOKENS, HEADS, ROWS))
    if options.decay is Decay.fixed:
        return np.broadcast_to(1 - 2.0 ** (-5 - np.arange(HEADS))[:, None], (TOKENS, HEADS, ROWS))
    logits = np.broadcast_to(params["decay_bias"], (TOKENS, *params["decay_bias"].shape))
    if "decay_from_x.kernel" in params:
        logits = logits + (x @ params["decay_from_x.kernel"]).reshape(logits.shape)
    return np.broadcast_to(sigmoid(logits), (TOKENS, HEADS, ROWS))


@pytest.mark.parametrize(
    "options",
    [
        config("delta", eigenvalues="signed", decay="data_scalar"),
        config("delta", "separate", decay="data_channel"),
        config("delta", "none", "rotation", "fixed"),
        config("product", eigenvalues="signed", decay="learned_channel", product_steps=3),
        config("product", "separate", "signed", "fixed"),
        config("product", "separate", "rotation", "data_channel"),
        config("product", "none"),
        config("add", eigenvalues="rotation", decay="data_scalar"),
    ],
    ids=lambda options: f"{options.update.name} {options.erase.name} {options.eigenvalues.name}",
)
def test_it_is_its_equations(options):
    params, x, y = made(options)
    writes = options.product_steps if options.update is Update.product else 1
    signed, separate = options.eigenvalues is Eigenvalues.signed, options.erase is Erase.separate
    sizes = (1, HEADS, ROWS), (writes, HEADS, ROWS), (writes, HEADS, COLUMNS)
    q, k, v = split(x @ params["qkv.kernel"], *sizes)
    q, k = unit(q), unit(k)

    def gates(name, *sizes):
        return sigmoid(x @ params[f"{name}.kernel"] + params[f"{name}.bias"]).reshape(
            TOKENS, writes, HEADS, *sizes
        )

    kept = decays(params, x, options)
    beta = np.ones((TOKENS, writes, HEADS)) if options.update is Update.add else gates("beta")
    erased = 0 * k
    if separate:
        erased = (1 + signed) * gates("erase", ROWS) * k
    elif options.update is not Update.add and options.erase is Erase.same:
        beta = (1 + signed) * beta
        erased = beta[..., None] * k
    turn = np.zeros((TOKENS, HEADS, ROWS // 2))
    if options.eigenvalues is Eigenvalues.rotation:
        turn = np.pi * np.tanh(x @ params["turn.kernel"]).reshape(turn.shape)
    # Where all rows of a head decay alike the memory turns; else keys and queries do, by all turns so far.
    apart = options.decay is Decay.data_channel
    so_far = np.cumsum(turn, axis=0) if apart else 0 * turn

    def step(state, t, h):
        state = kept[t, h][:, None] * (state if apart else turned(state.T, -turn[t, h]).T)
        for j in range(writes):
            key, erase = (turned(part[t, j, h], so_far[t, h]) for part in (k, erased))
            state = state + np.outer(key, beta[t, j, h] * v[t, j, h] - erase @ state)
        return state, turned(q[t, 0, h], so_far[t, h]) @ state

    read = rms(run(step, (ROWS, COLUMNS)), params["norm.scale"], 1e-6).reshape(TOKENS, -1)
    np.testing.assert_allclose(y, read @ params["out.kernel"], atol=2e-5)


def read_of(options, **changed):
    """What a fresh mixer makes of an input, with some of its parameters changed."""
    mixer = options.make(WIDTH, rngs=nnx.Rngs(0))
    for path, change in changed.items():
        layer, name = path.split("__")
        parameter = getattr(getattr(mixer, layer), name)
        parameter[...] = change(mixer)
    x = jax.random.normal(jax.random.key(1), (1, TOKENS, WIDTH))
    return np.asarray(nnx.jit(lambda mixer, x: mixer(x))(mixer, x))


def test_each_axis_has_a_neutral_value():
    delta = read_of(config("delta", decay="data_channel", short_conv=3))
    once = config("product", decay="data_channel", short_conv=3, product_steps=1)
    np.testing.assert_array_equal(read_of(once), delta)
    still = config("delta", "same", "rotation", "data_channel", short_conv=3)
    np.testing.assert_array_equal(read_of(still), delta)
    separate = config("delta", "separate", decay="data_channel", short_conv=3)
    as_beta = read_of(separate, erase__kernel=lambda mixer: jnp.repeat(mixer.beta.kernel[...], ROWS, axis=1))
    np.testing.assert_allclose(as_beta, delta, atol=2e-6)
    gated = config("delta", "none", decay="fixed")
    open_gate = read_of(gated, beta__bias=lambda mixer: 50 + mixer.beta.bias[...])
    drawn = gated.make(WIDTH, rngs=nnx.Rngs(0)).out.kernel[...]
    np.testing.assert_array_equal(open_gate, read_of(config("add", decay="fixed"), out__kernel=lambda _: drawn))


@pytest.mark.parametrize("name", [name for name, (_, missing) in MADE["NEAREST"].items() if not missing])
def test_an_architecture_in_its_terms_runs_the_same_scan(name):
    assert MADE["form_of"](MADE["nearest"](name)) == MADE["form_of"](MIXERS[name]())


def test_the_page_of_architectures_is_up_to_date():
    assert MADE["page"]() == PAGE.read_text(encoding="utf-8"), "out of date: run python docs/outer_page.py"
