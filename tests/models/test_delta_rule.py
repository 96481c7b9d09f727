"""Mixers with the delta rule: effect of β, initial decays, groups of heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.mixers.deltanet import DeltaNetConfig
from sandbox.models.mixers.gated_deltanet import GatedDeltaNetConfig
from sandbox.models.mixers.kda import KDAConfig

D_MODEL, HEADS, KEYS = 12, 2, 5


def memories_of_a_repeated_token(config):
    """The memory before, after one and after two equal tokens with value 0 and σ(x W_β) = 1."""
    mixer = config.make(D_MODEL, rngs=nnx.Rngs(0))
    keys = HEADS * KEYS
    mixer.qkv.kernel[...] = mixer.qkv.kernel[...].at[:, 2 * keys :].set(0.0)
    mixer.beta.kernel[...] = jnp.full(mixer.beta.kernel.shape, 30.0)
    token = jnp.abs(jax.random.normal(jax.random.key(0), (1, D_MODEL)))
    before = mixer.init_state(1, 2)
    before = before._replace(memory=jax.random.normal(jax.random.key(1), before.memory.shape))
    _, once = mixer.step(token, before)
    _, twice = mixer.step(token, once)
    return [np.asarray(state.memory) for state in (before, once, twice)]


def test_beta_of_one_erases_the_value_of_a_key():
    config = DeltaNetConfig(d_state=KEYS, num_heads=HEADS, conv_width=1)
    before, once, twice = memories_of_a_repeated_token(config)
    assert np.abs(once - before).max() > 0.1
    np.testing.assert_allclose(twice, once, atol=1e-4)


def test_beta_of_two_flips_the_sign_of_a_value_and_flips_it_back():
    config = DeltaNetConfig(d_state=KEYS, num_heads=HEADS, conv_width=1, negative_eigenvalues=True)
    before, once, twice = memories_of_a_repeated_token(config)
    assert np.abs(once - before).max() > 0.1
    np.testing.assert_allclose(twice, before, atol=1e-4)


@pytest.mark.parametrize("config", [GatedDeltaNetConfig, KDAConfig])
def test_decays_start_as_in_the_authors_code(config):
    """For x = 0. Step sizes are log-uniform in 0.001..0.1, with median 0.01."""
    mixer = config(num_heads=256, d_state=1).make(256, rngs=nnx.Rngs(0))
    step_sizes = np.asarray(jax.nn.softplus(mixer.dt_bias[...]))
    rates = np.exp(np.asarray(mixer.log_rates[...]))
    assert 0.00099 < step_sizes.min() < step_sizes.max() < 0.101
    assert 0.005 < np.median(step_sizes) < 0.02
    assert 0 < rates.min() < 2
    assert 15 < rates.max() < 16.001


def test_value_heads_of_a_group_share_queries_and_keys():
    config = GatedDeltaNetConfig(d_state=KEYS, num_heads=HEADS, num_value_heads=3 * HEADS, expand_v=1)
    state = jax.eval_shape(lambda: config.make(D_MODEL, rngs=nnx.Rngs(0)).init_state(1, 1))
    assert state.memory.shape == (1, 3 * HEADS, KEYS, D_MODEL // (3 * HEADS))
    assert state.conv.shape == (1, 3, 2 * HEADS * KEYS + D_MODEL)


@pytest.mark.parametrize(
    ("make_config", "message"),
    [
        (lambda: DeltaNetConfig(conv_width=0), "mixer.conv_width=0 must be at least 1"),
        (
            lambda: DeltaNetConfig(num_heads=5).check_width(12),
            "d_model=12 must be divisible by mixer.num_heads=5",
        ),
        (
            lambda: GatedDeltaNetConfig(num_heads=2, num_value_heads=3),
            "mixer.num_value_heads=3 must be divisible by mixer.num_heads=2",
        ),
        (
            lambda: GatedDeltaNetConfig(num_heads=1, num_value_heads=5).check_width(12),
            "mixer.expand_v · model.d_model=24 must be divisible by mixer.num_value_heads=5",
        ),
        (lambda: KDAConfig(gate_rank=0), "mixer.gate_rank=0 must be at least 1"),
    ],
)
def test_impossible_options_are_refused(make_config, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        make_config()
