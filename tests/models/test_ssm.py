"""State-space mixers: kernels in float64, initial decays of the LRU, the filter of Hyena."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.models.layers.convolution import long_convolution
from sandbox.models.layers.diagonal_ssm import Discretization, Initialization, initial_frequencies
from sandbox.models.mixers.h3 import H3Config
from sandbox.models.mixers.hyena import HyenaConfig
from sandbox.models.mixers.lru import LRUConfig
from sandbox.models.mixers.mamba import MambaConfig
from sandbox.models.mixers.mamba2 import Mamba2Config
from sandbox.models.mixers.rglru import RGLRUConfig
from sandbox.models.mixers.s4d import S4DConfig
from sandbox.ran import noted_implementations

D_MODEL = 6


def inputs(length, channels=D_MODEL, batch=2):
    return jax.random.normal(jax.random.key(1), (batch, length, channels))


def double(variable):
    return np.asarray(variable[...], np.float64)


def assert_close(found, expected, tolerance=1e-5):
    error = np.linalg.norm(np.asarray(found, np.float64) - expected) / np.linalg.norm(expected)
    assert error < tolerance, f"relative RMS error {error:.1e}"


def convolve(x, kernel):
    """Causal convolution of each channel of each sequence."""
    x = np.asarray(x, np.float64)
    channels = range(x.shape[2])
    y = [[np.convolve(row[:, c], kernel[:, c])[: x.shape[1]] for c in channels] for row in x]
    return np.moveaxis(np.array(y), 1, 2)


def gelu_and_glu(mixer, y):
    return jax.nn.glu(mixer.out(jax.nn.gelu(jnp.asarray(y, jnp.float32), approximate=False)))


def ssm_outputs(ssm, x):
    """Convolution with the kernel of the discretised system, plus the skip connection."""
    dt = np.exp(double(ssm.log_dt))[:, None]
    poles = -np.exp(double(ssm.log_rates)) + 1j * double(ssm.frequencies)
    if ssm.discretization is Discretization.zoh:
        a, b = np.exp(dt * poles), (np.exp(dt * poles) - 1) / poles
    else:
        a, b = (1 + dt * poles / 2) / (1 - dt * poles / 2), dt / (1 - dt * poles / 2)
    c = double(ssm.c_real) + 1j * double(ssm.c_imag)
    both = [(c, a, b), (c.conj(), a.conj(), b.conj())]
    kernel = [sum((c * a**t * b).sum(axis=1) for c, a, b in both).real for t in range(x.shape[1])]
    return convolve(x, np.array(kernel)) + double(ssm.skip) * np.asarray(x, np.float64)


@pytest.mark.parametrize("length", [1, 13, 64, 65, 150])
def test_long_convolution(length):
    x, kernel = inputs(length), inputs(length)[0]
    assert_close(long_convolution(x, kernel), convolve(x, np.asarray(kernel)), 1e-6)


@pytest.mark.parametrize(
    ("initialization", "discretization"),
    [
        (Initialization.lin, Discretization.zoh),
        (Initialization.legs, Discretization.zoh),
        (Initialization.inv, Discretization.bilinear),
    ],
)
def test_s4d_is_a_convolution_with_its_kernel(initialization, discretization):
    config = S4DConfig(d_state=16, initialization=initialization, discretization=discretization)
    mixer, x = config.make(D_MODEL, rngs=nnx.Rngs(0)), inputs(90)
    expected = ssm_outputs(mixer.ssm, x)
    by_convolution = jax.jit(mixer.ssm)(x)
    by_recurrence, _ = jax.jit(mixer.ssm.prefill)(x, mixer.ssm.init_state(2))
    assert_close(by_convolution, expected)
    assert_close(by_recurrence, expected)
    assert_close(mixer(x), np.asarray(gelu_and_glu(mixer, expected)))


def noted(form, *arguments):
    """Names of the implementations that run."""
    with noted_implementations() as implementations:
        jax.eval_shape(form, *arguments)
    return implementations.names


def test_a_named_implementation_trains_by_the_recurrence():
    x = inputs(9)
    for config in (S4DConfig, H3Config):
        auto, named = (
            config(d_state=4, implementation=name).make(D_MODEL, rngs=nnx.Rngs(0))
            for name in ("auto", "recurrent")
        )
        assert noted(auto, x) == ["convolution"]
        assert noted(named, x) == noted(auto.step, x[:, 0], auto.init_state(2, 9)) == ["recurrent"]
        assert "scan" not in str(jax.make_jaxpr(auto)(x))
        assert "scan" in str(jax.make_jaxpr(named)(x))
        assert_close(named(x), np.asarray(auto(x)))


def test_lru_is_a_convolution_with_its_kernel():
    mixer, x = LRUConfig(d_state=4).make(D_MODEL, rngs=nnx.Rngs(0)), inputs(40)
    decay = np.exp(-np.exp(double(mixer.log_rates)) + 1j * np.exp(double(mixer.log_phases)))
    b = double(mixer.b.kernel) @ np.concatenate([np.eye(4), 1j * np.eye(4)]) * np.exp(double(mixer.log_gamma))
    c = np.concatenate([np.eye(4), -1j * np.eye(4)], axis=1) @ double(mixer.c.kernel)
    signals = np.asarray(x, np.float64)
    y = double(mixer.skip) * signals
    for t in range(40):
        y[:, t] += sum((signals[:, s] @ b * decay ** (t - s) @ c).real for s in range(t + 1))
    assert_close(mixer(x), np.asarray(gelu_and_glu(mixer, y)))


def test_legs_frequencies_are_eigenvalues_of_the_hippo_matrix():
    size = 16
    n = np.arange(size)
    hippo = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), k=-1) - np.diag(n + 1)
    eigenvalues = np.linalg.eigvals(hippo + np.outer(np.sqrt(n + 0.5), np.sqrt(n + 0.5)))
    np.testing.assert_allclose(eigenvalues.real, -0.5)
    legs = initial_frequencies(Initialization.legs, size)
    np.testing.assert_allclose(np.sort(legs), np.sort(eigenvalues.imag)[size // 2 :])
    # S4D-Inv approximates them.
    np.testing.assert_allclose(initial_frequencies(Initialization.inv, size), np.sort(legs)[::-1], rtol=0.25)


def test_the_options_of_lru_bound_its_initial_decays_and_phases():
    mixer = LRUConfig(r_min=0.5, r_max=0.9, max_phase=1.0).make(64, rngs=nnx.Rngs(0))
    modulus, phase = np.exp(-np.exp(double(mixer.log_rates))), np.exp(double(mixer.log_phases))
    for values, low, high in ((modulus, 0.5, 0.9), (phase, 0, 1)):
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high
    np.testing.assert_allclose(np.exp(double(mixer.log_gamma)), np.sqrt(1 - modulus**2), rtol=1e-5)


def test_rglru_survives_closed_gates():
    """The derivative of sqrt(1 - a²) is infinite at a decay of a = 1."""
    mixer = RGLRUConfig().make(D_MODEL, rngs=nnx.Rngs(0))
    mixer.recurrence_gate.bias[...] = jnp.full((1, D_MODEL), -200.0)
    gradients = nnx.jit(nnx.grad(lambda mixer: jnp.sum(mixer(inputs(5)) ** 2)))(mixer)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("width", [1, 3])
def test_h3_follows_its_equations(width):
    mixer, length = H3Config(d_state=4, head_dim=width).make(D_MODEL, rngs=nnx.Rngs(0)), 9
    x = inputs(length)
    q, k, v = np.split(np.asarray(mixer.qkv(x), np.float64), 3, axis=-1)
    taps = np.zeros((length, D_MODEL))
    taps[:4] = double(mixer.shift.kernel)
    shifted = convolve(k, taps) + double(mixer.shift_skip) * k
    y = np.zeros(x.shape)
    for head in range(D_MODEL // width):
        for i in range(width):
            for j in range(width):
                one, other = head * width + i, head * width + j
                products = np.zeros((2, length, D_MODEL // width))
                products[:, :, head] = shifted[:, :, one] * v[:, :, other]
                y[:, :, other] += q[:, :, one] * ssm_outputs(mixer.ssm, products)[:, :, head]
    assert_close(mixer(x), np.asarray(mixer.out(jnp.asarray(y, jnp.float32))))


def test_the_filter_of_hyena_does_not_depend_on_the_length():
    mixer = HyenaConfig(filter_length=100, filter_bands=2).make(D_MODEL, rngs=nnx.Rngs(0))
    short, whole = np.asarray(mixer.filter(7)), np.asarray(mixer.filter(100))
    np.testing.assert_allclose(short, whole[:7], rtol=1e-6)
    # The window falls to 0.01 after 1.5 lengths in the first channel, and after 0.3 lengths in the last.
    p, frequency = np.arange(100)[:, None] / 99, double(mixer.filter.frequency)
    angles = 2 * np.pi * np.arange(100)[:, None] / 100 * np.array([[1e-4, 1.0]])
    h = np.concatenate([p, np.cos(angles), -np.sin(angles)], axis=1)
    for layer in mixer.filter.layers:
        h = np.sin(frequency * (h @ double(layer.kernel) + double(layer.bias)))
    window = 0.01 ** (p * np.linspace(1 / 1.5, 1 / 0.3, D_MODEL))
    assert_close(whole, h @ double(mixer.filter.last.kernel) * window)


def test_the_decode_state_holds_what_the_equations_carry():
    """Elements per sequence: N per channel, and the windows of the short convolutions."""
    sizes = {
        MambaConfig(d_state=16): 2 * D_MODEL * (16 + 3),
        Mamba2Config(d_state=16): 2 * D_MODEL * 16 + 3 * (2 * D_MODEL + 2 * 16),
        S4DConfig(d_state=16): D_MODEL * 16,
        LRUConfig(d_state=16): 2 * 16,
        RGLRUConfig(d_state=16): 16 + 3 * 16,
        H3Config(d_state=16): D_MODEL * (16 + 15),
        H3Config(d_state=16, head_dim=2): D_MODEL * (2 * 16 + 15),
        HyenaConfig(): 50 * D_MODEL + 1 + 2 * 3 * D_MODEL,
    }
    for config, expected in sizes.items():
        state = nnx.eval_shape(lambda config=config: config.make(D_MODEL, rngs=nnx.Rngs(0)).init_state(1, 50))
        assert sum(leaf.size for leaf in jax.tree.leaves(state)) == expected, config


@pytest.mark.parametrize(
    ("make_config", "message"),
    [
        (lambda: S4DConfig(d_state=5), "mixer.d_state=5 must be even"),
        (lambda: H3Config(d_state=0), "mixer.d_state=0 must be at least 2"),
        (lambda: H3Config(head_dim=5).check_width(12), "model.d_model=12 must be divisible by mixer.head_dim=5"),
        (lambda: MambaConfig(dt_rank=0), "mixer.dt_rank=0 must be at least 1"),
        (
            lambda: Mamba2Config(num_heads=3, num_groups=2),
            "mixer.num_heads=3 must be divisible by mixer.num_groups=2",
        ),
        (
            lambda: Mamba2Config(num_heads=5).check_width(12),
            "expand · model.d_model=24 must be divisible by",
        ),
        (lambda: LRUConfig(r_min=0.9, r_max=0.5), "mixer.r_min=0.9 and mixer.r_max=0.5"),
        (lambda: LRUConfig(max_phase=0.0), "mixer.max_phase=0.0 must be a finite number above 0"),
        (lambda: RGLRUConfig(d_state=9, num_heads=2).check_width(12), "mixer.d_state=9 must be divisible by"),
        (lambda: HyenaConfig(filter_length=1), "mixer.filter_length=1 must be at least 2"),
    ],
)
def test_impossible_options_are_refused(make_config, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        make_config()
