"""Linear attention against the pairwise weights that each feature map defines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.layers.feature_maps import SIGNED, FeatureMap, favor_directions
from sandbox.models.layers.parameters import retention_decays
from sandbox.models.mixers.linear_attention import BasedConfig, LinearAttentionConfig, PerformerConfig
from sandbox.models.mixers.outer import OuterConfig
from sandbox.models.mixers.retnet import RetentionPositions, RetNetConfig

D_MODEL, HEADS, KEYS, LENGTH = 12, 2, 4, 11


def relu(x):
    return np.maximum(x, 0)


def elu1(x):
    return np.where(x > 0, x + 1, np.exp(x))


def dpfp(x):
    """The definition with the paper's indices, for ν = 2."""
    r = relu(np.concatenate([x, -x]))
    return np.array([r[i] * r[i - shift] for shift in (1, 2) for i in range(2 * KEYS)])


def hedgehog(x):
    """Features for W = 2 I and b = 1."""
    features = np.exp(np.concatenate([2 * x + 1, -2 * x - 1]))
    return features / features.sum()


def favor(x):
    x = x / KEYS**0.25
    (directions, _) = favor_directions(0, HEADS, 64, KEYS)  # of head 0
    return np.exp(directions @ x - x @ x / 2)


PAIR_WEIGHTS = {
    FeatureMap.identity: lambda q, k, apart: q @ k,
    FeatureMap.relu: lambda q, k, apart: relu(q) @ relu(k),
    FeatureMap.silu: lambda q, k, apart: (q / (1 + np.exp(-q))) @ (k / (1 + np.exp(-k))),
    FeatureMap.elu1: lambda q, k, apart: elu1(q) @ elu1(k),
    FeatureMap.square: lambda q, k, apart: q**2 @ k**2,
    FeatureMap.softplus: lambda q, k, apart: np.log1p(np.exp(q)) @ np.log1p(np.exp(k)),
    FeatureMap.dpfp: lambda q, k, apart: dpfp(q) @ dpfp(k),
    FeatureMap.hedgehog: lambda q, k, apart: hedgehog(q) @ hedgehog(k),
    FeatureMap.taylor: lambda q, k, apart: 1 + q @ k / KEYS**0.5 + (q @ k) ** 2 / KEYS / 2,
    FeatureMap.cosformer: lambda q, k, apart: relu(q) @ relu(k) * np.cos(np.pi / 2 * apart / 20),
}


MAPS = [(feature_map, normalize) for feature_map in FeatureMap for normalize in (True, False)]


def attend(weight, q, k, v):
    """o_t = Σ_{i≤t} weight(q_t, k_i, t - i) v_i and the sums of the weights, for one head in float64."""
    weights = np.array(
        [[weight(q[t], k[i], t - i) if i <= t else 0.0 for i in range(len(k))] for t in range(len(q))]
    )
    return weights @ v, weights.sum(axis=-1, keepdims=True)


def identity(mixer):
    """Sets the projections so that x holds queries, keys and values, and outputs are what heads read."""
    q, k, v = np.split(np.eye(12), [KEYS, 2 * KEYS], axis=1)
    mixer.q.kernel[...] = jnp.asarray(np.concatenate([q, q], axis=1), jnp.float32)
    mixer.k.kernel[...] = jnp.asarray(np.concatenate([k, k], axis=1), jnp.float32)
    mixer.v.kernel[...] = jnp.asarray(np.concatenate([v, v, np.zeros((12, 4))], axis=1), jnp.float32)
    mixer.out.kernel[...] = jnp.eye(12)
    return mixer


@pytest.mark.parametrize(("feature_map", "normalize"), MAPS)
def test_each_feature_map_weighs_pairs_as_in_its_paper(feature_map, normalize):
    config = LinearAttentionConfig(
        d_state=KEYS,
        num_heads=HEADS,
        feature_map=feature_map,
        normalize=normalize,
        dpfp_nu=2,
        max_positions=20,
        implementation="recurrent",
    )
    mixer = identity(config.make(D_MODEL, rngs=nnx.Rngs(0)))
    for learned in filter(None, (mixer.q_map, mixer.k_map)):
        learned.kernel[...], learned.bias[...] = 2 * learned.kernel[...], learned.bias[...] + 1
    x = np.random.default_rng(0).normal(size=(LENGTH, D_MODEL)).astype(np.float32)
    expected, sums = attend(PAIR_WEIGHTS[feature_map], *np.split(x.astype(np.float64), [KEYS, 2 * KEYS], axis=1))
    if normalize:
        expected /= np.maximum(np.abs(sums), 1) if feature_map in SIGNED else sums + 1e-6
    found = mixer(jnp.asarray(x)[None])[0, :, :KEYS]
    assert np.linalg.norm(found - expected) < 2e-5 * np.linalg.norm(expected)


def test_performer_weighs_pairs_by_its_random_features():
    config = PerformerConfig(key_dim=KEYS, num_heads=HEADS, implementation="recurrent")
    x = np.random.default_rng(0).normal(size=(LENGTH, D_MODEL)).astype(np.float32)
    parts = np.split(x.astype(np.float64), [KEYS, 2 * KEYS], axis=1)
    expected, sums = attend(lambda q, k, apart: favor(q) @ favor(k), *parts)
    found = identity(config.make(D_MODEL, rngs=nnx.Rngs(0)))(jnp.asarray(x)[None])[0, :, :KEYS]
    assert np.linalg.norm(found - expected / sums) < 2e-5 * np.linalg.norm(expected / sums)


def test_more_random_features_approximate_softmax_attention_better():
    x = 0.5 * np.random.default_rng(0).normal(size=(LENGTH, D_MODEL)).astype(np.float32)
    parts = np.split(x.astype(np.float64), [KEYS, 2 * KEYS], axis=1)
    read, sums = attend(lambda q, k, apart: np.exp(q @ k / KEYS**0.5), *parts)

    def error(features, seed):
        config = PerformerConfig(
            key_dim=KEYS, num_heads=HEADS, favor_features=features, favor_seed=seed, implementation="recurrent"
        )
        found = identity(config.make(D_MODEL, rngs=nnx.Rngs(0)))(jnp.asarray(x)[None])[0, :, :KEYS]
        return np.linalg.norm(found - read / sums) / np.linalg.norm(read / sums)

    few, some, many = (np.mean([error(features, seed) for seed in range(3)]) for features in (16, 256, 4096))
    assert few > 2 * some
    assert some > 2 * many
    assert many < 0.02


def test_random_features_are_orthogonal_with_lengths_of_normal_vectors():
    directions = favor_directions(3, 2, 150, 50)
    assert directions.shape == (2, 150, 50)
    lengths = np.linalg.norm(directions, axis=-1)
    cosines = np.einsum("hik,hjk->hij", directions, directions) / (lengths[:, :, None] * lengths[:, None])
    for block in range(0, 150, 50):
        np.testing.assert_allclose(cosines[:, block : block + 50, block : block + 50], [np.eye(50)] * 2, atol=1e-5)
    assert abs(np.mean(lengths**2) / 50 - 1) < 0.05
    assert np.std(lengths**2 / 50) > 0.1


@pytest.mark.slow(seconds=4)
def test_long_queries_do_not_overflow_or_underflow_in_performer():
    mixer = identity(PerformerConfig(key_dim=KEYS, num_heads=HEADS).make(D_MODEL, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(0).normal(size=(LENGTH, D_MODEL)).astype(np.float32)
    x[:, :KEYS] *= 100
    directions = favor_directions(0, HEADS, 64, KEYS)[0]

    def weight(q, k, apart):
        exponents = directions @ q / KEYS**0.25
        return np.exp(exponents - exponents.max()) @ favor(k)

    read, sums = attend(weight, *np.split(x.astype(np.float64), [KEYS, 2 * KEYS], axis=1))
    found = mixer(jnp.asarray(x)[None])[0, :, :KEYS]
    assert np.linalg.norm(found - read / sums) < 1e-3 * np.linalg.norm(read / sums)
    gradient = jax.grad(lambda x: jnp.sum(mixer(x) ** 2))(1e3 * jnp.asarray(x)[None])
    assert np.all(np.isfinite(gradient))


def test_based_keeps_no_product_of_two_channels_twice():
    state = BasedConfig(d_state=16).make(64, rngs=nnx.Rngs(0)).init_state(1, 1)
    assert state.memory.shape == (1, 1, 1 + 16 + 16 * 17 // 2, 64 + 1)


def test_xpos_is_a_rotation_and_a_scale_that_grows_for_queries_and_shrinks_for_keys():
    """Sun et al. 2022, algorithm 1, with RetNet's decay."""
    config = RetNetConfig(d_state=KEYS, num_heads=1, positions=RetentionPositions.xpos, implementation="recurrent")
    mixer = config.make(D_MODEL, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(LENGTH, D_MODEL)).astype(np.float32)
    q, k, v, gate = (x @ np.asarray(layer.kernel[...]) for layer in (mixer.q, mixer.k, mixer.v, mixer.gate))
    pairs, n = np.arange(KEYS // 2), np.arange(LENGTH)[:, None]
    turn = np.exp(1j * n * 10_000 ** (-2 * pairs / KEYS))
    scale = ((2 * pairs / KEYS + 0.4) / 1.4) ** (n / 512)
    q, k = ((z[:, : KEYS // 2] + 1j * z[:, KEYS // 2 :]) * turn for z in (q, k))
    weights = ((q * scale) @ (k / scale).conj().T).real / KEYS**0.5
    read = np.tril(weights * retention_decays(1)[0] ** (n - n.T)) @ v
    read = (read - read.mean(-1, keepdims=True)) / np.sqrt(read.var(-1, keepdims=True) + 1e-5)
    expected = (gate / (1 + np.exp(-gate)) * read) @ np.asarray(mixer.out.kernel[...])
    found = mixer(jnp.asarray(x)[None])[0]
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: PerformerConfig(normalize=False),
            "mixer.normalize=false is not possible with mixer",
        ),
        (lambda: LinearAttentionConfig(dpfp_nu=0), "mixer.dpfp_nu=0 must be at least 1"),
        (lambda: OuterConfig(feature_map=FeatureMap.taylor), "mixer.feature_map=taylor must be one of identity"),
        (lambda: RetNetConfig(d_state=5), "mixer.d_state=5 must be divisible by 2 "),
        (
            lambda: (
                LinearAttentionConfig(feature_map=FeatureMap.cosformer, max_positions=8)
                .make(D_MODEL, rngs=nnx.Rngs(0))
                .init_state(1, 9)
            ),
            "mixer.max_positions=8 is the longest sequence that cosformer allows, got 9 tokens",
        ),
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        make()
