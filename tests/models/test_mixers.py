"""The contract of every mixer, at odd lengths: three forms that agree, causality, complete state."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.mixer import Card
from sandbox.models.mixers import MIXERS
from sandbox.models.mixers.fox import FoXConfig
from sandbox.models.mixers.gated_deltanet import GatedDeltaNetConfig
from sandbox.models.mixers.h3 import H3Config
from sandbox.models.mixers.linear_attention import LinearAttentionConfig
from sandbox.models.mixers.mamba3 import Mamba3Config
from sandbox.models.mixers.outer import Decay, Eigenvalues, Erase, FeatureMap, OuterConfig, Update
from sandbox.models.mixers.retnet import RetentionPositions, RetNetConfig
from sandbox.models.mixers.short_conv import ShortConvConfig
from sandbox.models.mixers.softmax import Positions, SoftmaxConfig
from sandbox.models.mixers.ttt_linear import TTTLinearConfig

D_MODEL, BATCH, LENGTH, LONG = 12, 2, 13, 300

VARIANTS = {name: config() for name, config in MIXERS.items()} | {
    "softmax, grouped, rope": SoftmaxConfig(num_heads=6, num_kv_heads=2, positions=Positions.rope),
    "softmax, learned": SoftmaxConfig(num_heads=3, positions=Positions.learned, max_positions=LONG),
    "linear_attention, cosformer": LinearAttentionConfig(feature_map=FeatureMap.cosformer, max_positions=LONG),
    "linear_attention, hedgehog": LinearAttentionConfig(num_heads=3, feature_map=FeatureMap.hedgehog),
    "retnet, xpos": RetNetConfig(num_heads=3, positions=RetentionPositions.xpos),
    "gated_deltanet, grouped": GatedDeltaNetConfig(d_state=5, num_value_heads=4, negative_eigenvalues=True),
    "mamba3, rank": Mamba3Config(d_state=9, rank=3, chunk_size=4),
    "fox, pro": FoXConfig(num_heads=4, num_kv_heads=2, pro=True),
    "h3, heads": H3Config(d_state=4, head_dim=3, chunk_size=4),
    "ttt_linear, short batches": TTTLinearConfig(mini_batch=3, d_state=4, num_heads=3),
    "short_conv, width 1": ShortConvConfig(width=1),
    "outer, everything": OuterConfig(
        d_state=6,
        num_heads=3,
        decay=Decay.data_channel,
        update=Update.product,
        erase=Erase.separate,
        eigenvalues=Eigenvalues.rotation,
        feature_map=FeatureMap.silu,
        short_conv=3,
        output_gate=True,
        chunk_size=4,
    ),
    "outer, product": OuterConfig(
        d_state=5, update=Update.product, product_steps=3, eigenvalues=Eigenvalues.signed, decay=Decay.fixed
    ),
    "outer, nothing erased": OuterConfig(
        d_state=5, num_heads=2, update=Update.product, erase=Erase.none, decay=Decay.data_scalar, short_conv=3
    ),
    "outer, bare": OuterConfig(d_state=3, normalize_qk=False, output_norm=False, feature_map=FeatureMap.elu1),
}
for decay, update in itertools.product(Decay, (Update.add, Update.delta)):
    VARIANTS[f"outer, {decay.name}, {update.name}"] = OuterConfig(
        d_state=3, num_heads=2, decay=decay, update=update, chunk_size=8
    )


@pytest.fixture(
    params=[pytest.param(VARIANTS[name], id=name, marks=pytest.mark.xdist_group(name)) for name in VARIANTS]
)
def config(request):
    """Each variant, all its tests in one process, so that it is made once."""
    return request.param


@functools.cache
def make(config, dtype=jnp.float32):
    """A mixer with perturbed parameters, because those that start at zero would hide mistakes."""
    mixer = config.make(D_MODEL, rngs=nnx.Rngs(0), dtype=dtype)
    rng = np.random.default_rng(2)

    def moved(leaf):
        return jnp.asarray(np.asarray(leaf) + 0.05 * rng.normal(size=leaf.shape), leaf.dtype)

    nnx.update(mixer, jax.tree.map(moved, nnx.state(mixer, nnx.Param)))
    return mixer


def inputs(batch=BATCH, dtype=jnp.float32, length=LENGTH):
    return jax.random.normal(jax.random.key(1), (batch, length, D_MODEL)).astype(dtype)


def shapes_and_types(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def assert_close(actual, expected, tolerance, name):
    actual, expected = np.asarray(actual, np.float32), np.asarray(expected, np.float32)
    error = np.linalg.norm(actual - expected) / (np.linalg.norm(expected) + 1e-30)
    assert error <= tolerance, f"{name}: relative RMS error {error:.2e}"


def test_three_forms_agree(config):
    assert_three_forms_agree(config, jnp.float32, batch=2, tolerance=1e-5)


@pytest.mark.parametrize("name", MIXERS)
def test_three_forms_agree_in_bfloat16_on_one_sequence(name):
    assert_three_forms_agree(MIXERS[name](), jnp.bfloat16, batch=1, tolerance=3e-2)


def assert_three_forms_agree(config, dtype, batch, tolerance):
    mixer, x = make(config, dtype), inputs(batch, dtype)

    @jax.jit
    def three_forms(x):
        empty = mixer.init_state(batch, LENGTH)
        first, state = mixer.prefill(x[:, :5], empty)
        second, prefilled = mixer.prefill(x[:, 5:], state)
        stepped, steps = jax.lax.scan(
            lambda state, token: mixer.step(token, state)[::-1], empty, jnp.swapaxes(x, 0, 1)
        )
        parts = jnp.concatenate([first, second], axis=1)
        return mixer(x), (parts, prefilled), (jnp.swapaxes(steps, 0, 1), stepped)

    whole, (parts, prefilled), (steps, stepped) = three_forms(x)
    assert whole.shape == x.shape
    assert whole.dtype == dtype
    assert_close(parts, whole, tolerance, "prefill in two parts")
    assert_close(steps, whole, tolerance, "step by step")
    promised = jax.eval_shape(lambda: mixer.init_state(batch, LENGTH))
    assert shapes_and_types(stepped) == shapes_and_types(prefilled) == shapes_and_types(promised)
    for (path, one), other in zip(
        jax.tree_util.tree_leaves_with_path(stepped), jax.tree.leaves(prefilled), strict=True
    ):
        assert_close(one, other, tolerance, f"final state {jax.tree_util.keystr(path)}")


def test_only_the_state_of_a_mixer_that_grows_depends_on_the_length(config):
    def state(length):
        return jax.eval_shape(lambda: config.make(D_MODEL, rngs=nnx.Rngs(0)).init_state(1, length))

    short, long = (shapes_and_types(state(length)) for length in (2, LONG))
    assert (short != long) == config.grows


@pytest.mark.parametrize("name", MIXERS)
def test_d_state_sets_the_size_of_the_state(name):
    config_type = MIXERS[name]
    has_knob = "d_state" in {field.name for field in dataclasses.fields(config_type)}
    assert has_knob == (config_type.card.d_state != "–"), "the card says what `d_state` sets"
    if has_knob:
        few, many = (
            jax.eval_shape(
                lambda size=size: config_type(d_state=size).make(D_MODEL, rngs=nnx.Rngs(0)).init_state(1, LONG)
            )
            for size in (8, 24)
        )
        sizes = [sum(leaf.size for leaf in jax.tree.leaves(state)) for state in (few, many)]
        assert sizes[0] < sizes[1]


@pytest.mark.parametrize("name", MIXERS)
def test_every_width_is_checked(name):
    with pytest.raises(ValueError, match=r"model\.d_model=0 must be at least 1"):
        MIXERS[name]().make(0, rngs=nnx.Rngs(0))


def test_causality_and_finite_gradients(config):
    mixer, x = make(config), inputs(1, length=7)

    @jax.jit
    def derivatives(mixer, x):
        jacobian = jax.jacrev(lambda x: mixer(x)[0].sum(axis=-1))(x)[:, 0]  # [T out, T in, D]
        return jacobian, nnx.grad(lambda mixer: jnp.sum(mixer(x) ** 2))(mixer)

    jacobian, gradients = derivatives(mixer, x)
    influence = np.abs(np.asarray(jacobian)).max(axis=-1)
    assert np.all(np.triu(influence, k=1) == 0), "an output depends on a later input"
    assert np.all(np.diag(influence) > 0), "an output does not depend on its own input"
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.all(np.isfinite(leaf)), path


def test_the_table_says_what_each_mixer_is():
    for name, kind in MIXERS.items():
        card = vars(kind).get("card")
        assert isinstance(card, Card), f"{name} has no card of its own"
        assert all(dataclasses.asdict(card).values()), f"the card of {name} has an empty field"


@pytest.mark.parametrize(
    ("make_config", "message"),
    [
        (lambda: OuterConfig(d_state=0), "mixer.d_state=0 must be at least 1"),
        (lambda: OuterConfig(update=Update.delta, normalize_qk=False), "mixer.normalize_qk=false"),
        (lambda: OuterConfig(implementation="fast"), "mixer.implementation=fast must be one of auto, recurrent"),
        (lambda: OuterConfig(chunk_size=12), "mixer.chunk_size=12 must be a power of two, or null"),
        (
            lambda: OuterConfig(num_heads=5).check_width(12),
            "model.d_model=12 must be divisible by mixer.num_heads=5",
        ),
        (lambda: SoftmaxConfig(num_heads=4, num_kv_heads=3), "mixer.num_heads=4 must be divisible by"),
        (lambda: SoftmaxConfig(num_heads=4, positions=Positions.rope).check_width(12), "rope pairs channels"),
        (lambda: ShortConvConfig(width=0), "mixer.width=0 must be at least 1"),
        (
            lambda: make(SoftmaxConfig(positions=Positions.learned, max_positions=4))(inputs()),
            "mixer.max_positions=4 is the longest sequence",
        ),
    ],
)
def test_impossible_options_are_refused(make_config, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        make_config()
