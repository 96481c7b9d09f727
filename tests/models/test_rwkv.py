"""RWKV: token shift, norm, and channel mixing that carries the last token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.channel_mixers import ChannelMixer, make_channel_mixer
from sandbox.models.layers.token_shift import TokenShift
from sandbox.models.mixers.rwkv4 import RWKV4Config
from sandbox.models.mixers.rwkv5 import RWKV5Config
from sandbox.models.mixers.rwkv6 import RWKV6Config
from sandbox.models.mixers.rwkv7 import RWKV7Config

D_MODEL, BATCH, LENGTH = 12, 2, 9


def inputs():
    return jax.random.normal(jax.random.key(0), (BATCH, LENGTH, D_MODEL))


def test_token_shift_mixes_each_token_with_the_previous_one():
    shift, x = TokenShift(np.zeros(D_MODEL), np.ones(D_MODEL), np.full(D_MODEL, 0.25)), np.asarray(inputs())
    last = np.full((BATCH, D_MODEL), 3.0, np.float32)
    (own, before, mixed), carried = shift(jnp.asarray(x), jnp.asarray(last))
    expected = np.concatenate([last[:, None], x[:, :-1]], axis=1)
    np.testing.assert_allclose(own, x, atol=1e-6)
    np.testing.assert_allclose(before, expected, atol=1e-6)
    np.testing.assert_allclose(mixed, 0.75 * x + 0.25 * expected, atol=1e-6)
    np.testing.assert_array_equal(carried, x[:, -1])


def test_the_norm_has_the_epsilon_of_the_official_code_at_its_width_of_heads():
    assert RWKV5Config(d_state=64).make(64, rngs=nnx.Rngs(0)).norm.epsilon == pytest.approx(64e-5)


def test_rwkv6_starts_as_rwkv5():
    """The data-dependent parts start at zero."""
    old, new = (kind(d_state=5).make(D_MODEL, rngs=nnx.Rngs(0)) for kind in (RWKV5Config, RWKV6Config))
    for mixer in (old, new):
        mixer.out.kernel[...] = jnp.eye(D_MODEL)
    before, after = jax.jit(lambda x: (old(x), new(x)))(inputs())
    np.testing.assert_allclose(before, after, atol=1e-5)
    assert np.abs(np.asarray(before)).max() > 0.1


def test_the_state_is_a_memory_and_a_token():
    def num_elements(config):
        state = jax.eval_shape(lambda: config.make(D_MODEL, rngs=nnx.Rngs(0)).init_state(1, LENGTH))
        return sum(leaf.size for leaf in jax.tree.leaves(state))

    assert num_elements(RWKV4Config()) == 3 * D_MODEL + D_MODEL
    assert num_elements(RWKV4Config(d_state=5)) == 3 * 5 + D_MODEL
    for kind in (RWKV5Config, RWKV6Config, RWKV7Config):
        assert num_elements(kind(d_state=5, num_heads=3)) == 5 * D_MODEL + D_MODEL


@pytest.mark.parametrize(
    ("version", "parameters", "dtype"),
    [
        ("rwkv4", 2 * D_MODEL + D_MODEL * D_MODEL + 2 * 48 * D_MODEL, jnp.float32),
        ("rwkv5", 2 * D_MODEL + D_MODEL * D_MODEL + 2 * 42 * D_MODEL, jnp.float32),
        ("rwkv6", 2 * D_MODEL + D_MODEL * D_MODEL + 2 * 42 * D_MODEL, jnp.bfloat16),
        ("rwkv7", D_MODEL + 2 * 48 * D_MODEL, jnp.float32),
    ],
)
def test_channel_mixing_carries_the_last_token(version, parameters, dtype):
    mixer, x = make_channel_mixer(ChannelMixer[version], D_MODEL, rngs=nnx.Rngs(0), dtype=dtype), inputs()
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(mixer))) == parameters
    nnx.update(mixer, jax.tree.map(lambda leaf: leaf + 0.1, nnx.state(mixer)))  # output matrices start at zero
    x = x.astype(dtype)

    @jax.jit
    def forms(x):
        empty = mixer.init_state(BATCH, LENGTH)
        first, state = mixer.prefill(x[:, :4], empty)
        token, state = mixer.step(x[:, 4], state)
        rest, state = mixer.prefill(x[:, 5:], state)
        forgetful, _ = mixer.prefill(x[:, 5:], empty)
        return mixer(x), jnp.concatenate([first, token[:, None], rest], axis=1), state, forgetful

    whole, parts, state, forgetful = forms(x)
    assert whole.dtype == parts.dtype == state.last_token.dtype == dtype
    tolerance = 1e-5 if dtype == jnp.float32 else 0.02
    np.testing.assert_allclose(np.float32(parts), np.float32(whole), rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(state.last_token, x[:, -1])
    assert not np.allclose(np.float32(forgetful[:, 0]), np.float32(whole[:, 5]), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("make_config", "message"),
    [
        (lambda: RWKV4Config(d_state=0), "mixer.d_state=0 must be at least 1"),
        (
            lambda: RWKV5Config(num_heads=5).check_width(12),
            "d_model=12 must be divisible by mixer.num_heads=5",
        ),
        (lambda: RWKV6Config(shift_rank=0), "mixer.shift_rank=0 must be at least 1"),
        (lambda: RWKV7Config(gate_rank=0), "mixer.gate_rank=0 must be at least 1"),
        (lambda: RWKV7Config(num_heads=5).make(12, rngs=nnx.Rngs(0)), "model.d_model=12 must be divisible"),
    ],
)
def test_impossible_options_are_refused(make_config, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        make_config()
