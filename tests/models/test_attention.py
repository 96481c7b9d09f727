"""Softmax attention in all its forms, against a token-by-token version of the definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sandbox.cost.flops import count_flops
from sandbox.models.layers import attention
from sandbox.models.layers.attention import Positions, alibi_slopes
from sandbox.models.mixers.bigbird import BigBirdConfig, plan
from sandbox.models.mixers.linformer import LinformerConfig
from sandbox.models.mixers.longformer import LongformerConfig
from sandbox.models.mixers.nsa import NSAConfig
from sandbox.models.mixers.sliding_window import SlidingWindowConfig
from sandbox.models.mixers.softmax import SoftmaxConfig
from sandbox.ran import noted_implementations

D_MODEL, LENGTH = 12, 37
PIECES = [1, 3, 16, 2, 15]


def one(layer, x):
    """A dense layer, in float64."""
    y = x @ np.asarray(layer.kernel[...], np.float64)
    return y if layer.bias is None else y + np.asarray(layer.bias[...], np.float64)


def rotated(x, positions):
    """Rotary positions of `[T, heads, K]`: pairs of channels as complex numbers."""
    half = x.shape[-1] // 2
    angles = np.asarray(positions)[:, None, None] * 10_000.0 ** (-np.arange(half) / half)
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([z.real, z.imag], axis=-1)


class ByTheBook:
    """Outputs of a mixer's weights for one sequence, computed one token and one head at a time."""

    def __init__(self, mixer, x):
        self.mixer, self.config = mixer, mixer.config
        self.x = np.asarray(x, np.float64)
        if self.config.positions is Positions.learned:
            self.x = self.x + np.asarray(mixer.position_table[...], np.float64)[: len(x)]
        self.q, self.k, self.v = self.project(mixer.q, mixer.k, mixer.v)

    def project(self, *layers):
        q, k, v = (one(layer, self.x).reshape(len(self.x), -1, self.mixer.head_dim) for layer in layers)
        if self.config.positions is Positions.rope:
            q, k = rotated(q, np.arange(len(q))), rotated(k, np.arange(len(k)))
        return q, k, v

    def read(self, token, q, k, v, positions):
        """Attention of the query `q` `[heads, K]` of `token` over the rows `k`, `v` at `positions`."""
        heads, distance = self.config.num_heads, token - np.asarray(positions)
        outputs = []
        for head in range(heads):
            kv = head // (heads // self.config.kv_heads)
            scores = k[:, kv] @ q[head] / np.sqrt(self.mixer.head_dim)
            if self.config.positions is Positions.alibi:
                scores = scores - 2.0 ** (-8 * (head + 1) / heads) * distance
            if self.config.positions is Positions.hard_alibi and head < self.config.windowed_heads:
                scores = np.where(distance <= head, scores, -np.inf)
            weights = np.exp(scores - scores.max())
            outputs.append(weights @ v[:, kv] / weights.sum())
        return one(self.mixer.out, np.concatenate(outputs))

    def over(self, sees):
        """Outputs if token t attends to the tokens `sees(t)`."""
        rows = [sorted(sees(token)) for token in range(len(self.x))]
        return np.stack([self.read(t, self.q[t], self.k[seen], self.v[seen], seen) for t, seen in enumerate(rows)])

    def softmax(self):
        return self.over(lambda t: range(t + 1))

    def sliding_window(self):
        return self.over(lambda t: range(max(t - self.config.d_state + 1, 0), t + 1))

    def longformer(self):
        first, window = self.config.num_global, self.config.d_state
        outputs = self.over(lambda t: {*range(min(first, t + 1)), *range(max(t - window + 1, 0), t + 1)})
        q, k, v = self.project(self.mixer.global_q, self.mixer.global_k, self.mixer.global_v)
        for t in range(first):
            outputs[t] = self.read(t, q[t], k[: t + 1], v[: t + 1], range(t + 1))
        return outputs

    def bigbird(self):
        config, size = self.config, self.config.d_state
        options = config.num_global, config.num_window, config.num_random, config.seed
        blocks = plan(-(-len(self.x) // size), *options).seen
        return self.over(lambda t: {i for i in range(t + 1) if i // size in blocks[t // size]})

    def linformer(self):
        size, outputs = self.config.block_size, []
        matrices = (self.mixer.compress_k, self.mixer.compress_v)
        for t in range(len(self.x)):
            past, own = t // size, slice(t // size * size, t + 1)
            k, v = (
                np.concatenate(
                    [
                        *(
                            np.einsum("rc,cgk->rgk", np.asarray(matrix[...]), rows[n * size : (n + 1) * size])
                            for n in range(past)
                        ),
                        rows[own],
                    ]
                )
                for matrix, rows in zip(matrices, (self.k, self.v), strict=True)
            )
            ends = np.repeat(np.arange(past) * size + size - 1, self.config.d_state)
            outputs.append(self.read(t, self.q[t], k, v, [*ends, *range(own.start, t + 1)]))
        return np.stack(outputs)

    def nsa(self):
        config, size, heads = self.config, self.config.block_size, self.config.num_heads
        shared = heads // config.kv_heads
        gates = 1 / (1 + np.exp(-one(self.mixer.gates, self.x).reshape(len(self.x), heads, 3)))
        outputs = np.zeros((len(self.x), heads, self.mixer.head_dim))
        for t, kv in np.ndindex(len(self.x), config.kv_heads):
            k, v, own, complete = self.k[:, kv], self.v[:, kv], t // size, (t + 1) // size
            group = slice(kv * shared, (kv + 1) * shared)
            means = [
                rows[: complete * size].reshape(complete, size, self.mixer.head_dim).mean(axis=1)
                for rows in (k, v)
            ]
            weights = self.weights(self.q[t, group], means[0])
            chosen = {0, own, max(own - 1, 0)}
            for block in np.argsort(-weights.sum(axis=0)):
                if len(chosen) < config.num_selected:
                    chosen.add(int(block))
            tokens = [i for i in range(t + 1) if i // size in chosen]
            window = slice(max(t - config.window + 1, 0), t + 1)
            views = [
                weights @ means[1],
                self.weights(self.q[t, group], k[tokens]) @ v[tokens],
                self.weights(self.q[t, group], k[window]) @ v[window],
            ]
            outputs[t, group] = sum(gates[t, group, number, None] * view for number, view in enumerate(views))
        return one(self.mixer.out, outputs.reshape(len(self.x), -1))

    def weights(self, q, k):
        """Softmax attention of queries `[heads, K]` over rows."""
        scores = np.exp(q @ k.T / np.sqrt(self.mixer.head_dim))
        return scores / scores.sum(axis=1, keepdims=True)


GROUPED = {"num_heads": 4, "num_kv_heads": 2, "use_bias": True}
# The sequence has several windows or blocks, unlike with the defaults in `test_mixers.py`.
CASES = {
    "grouped, no positions": ("softmax", SoftmaxConfig(**GROUPED)),
    "learned": ("softmax", SoftmaxConfig(num_heads=2, positions=Positions.learned, max_positions=LENGTH)),
    "alibi": ("softmax", SoftmaxConfig(**GROUPED, positions=Positions.alibi)),
    "hard alibi": ("softmax", SoftmaxConfig(num_heads=3, positions=Positions.hard_alibi, windowed_heads=2)),
    "hard alibi, grouped": ("softmax", SoftmaxConfig(**GROUPED, positions=Positions.hard_alibi, windowed_heads=3)),
    "window, rope": ("sliding_window", SlidingWindowConfig(num_heads=2, num_kv_heads=1, d_state=5)),
    "window, alibi": ("sliding_window", SlidingWindowConfig(**GROUPED, d_state=4, positions=Positions.alibi)),
    "window of one": ("sliding_window", SlidingWindowConfig(d_state=1)),
    "longformer": ("longformer", LongformerConfig(num_heads=3, d_state=5, num_global=4)),
    "longformer, no window": (
        "longformer",
        LongformerConfig(**GROUPED, d_state=1, num_global=1, positions=Positions.none),
    ),
    "bigbird": ("bigbird", BigBirdConfig(num_heads=3, d_state=3, num_random=2)),
    "bigbird, single tokens": ("bigbird", BigBirdConfig(d_state=1, num_global=2, num_window=1)),
    "nsa": ("nsa", NSAConfig(num_heads=6, num_kv_heads=2, block_size=5, num_selected=4, window=7)),
    "nsa, blocks of one": ("nsa", NSAConfig(block_size=1, num_selected=5, window=1, positions=Positions.none)),
    "nsa, more blocks than there are": ("nsa", NSAConfig(num_heads=2, block_size=16, num_selected=9, window=50)),
    "linformer": ("linformer", LinformerConfig(num_heads=3, d_state=2, block_size=5)),
    "linformer, alibi": ("linformer", LinformerConfig(**GROUPED, block_size=6, positions=Positions.alibi)),
    "linformer, single tokens": ("linformer", LinformerConfig(d_state=1, block_size=1)),
}


@pytest.mark.parametrize(("name", "config"), CASES.values(), ids=CASES.keys())
def test_each_token_attends_as_defined(name, config):
    mixer = config.make(D_MODEL, rngs=nnx.Rngs(0))
    keys = iter(jax.random.split(jax.random.key(2), 20))
    moved = jax.tree.map(
        lambda leaf: leaf + 0.3 * jax.random.normal(next(keys), leaf.shape), nnx.state(mixer, nnx.Param)
    )
    nnx.update(mixer, moved)
    x = jax.random.normal(jax.random.key(1), (2, LENGTH, D_MODEL))

    @jax.jit
    def forms(x):
        parts, state = [], mixer.init_state(2, LENGTH)
        for piece in np.split(x, np.cumsum(PIECES)[:-1], axis=1):
            part, state = mixer.prefill(piece, state)
            parts.append(part)
        stepped, steps = jax.lax.scan(
            lambda state, token: mixer.step(token, state)[::-1],
            mixer.init_state(2, LENGTH),
            jnp.swapaxes(x, 0, 1),
        )
        whole = mixer.prefill(x, mixer.init_state(2, LENGTH))[1]
        outputs = mixer(x), jnp.concatenate(parts, axis=1), jnp.swapaxes(steps, 0, 1)
        return outputs, (whole, state, stepped)

    outputs, states = forms(x)
    expected = np.stack([getattr(ByTheBook(mixer, sequence), name)() for sequence in x])
    for form, output in zip(("training", "prefill in pieces", "step"), outputs, strict=True):
        np.testing.assert_allclose(output, expected, rtol=2e-5, atol=2e-5, err_msg=form)
    for state in states[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), state, states[0])


def test_means_of_large_blocks_are_exact_in_bfloat16():
    mixer = NSAConfig(block_size=512, positions=Positions.none).make(D_MODEL, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
    x = (1 + 0.3 * jax.random.normal(jax.random.key(1), (1, 512, D_MODEL))).astype(jnp.bfloat16)
    _, state = mixer.prefill(x, mixer.init_state(1, 512))
    _, before = mixer.prefill(x[:, :-1], mixer.init_state(1, 512))
    _, stepped = mixer.step(x[:, -1], before)
    exact = np.asarray(state.v, np.float64).mean(axis=1, keepdims=True)
    for found in (state, stepped):
        np.testing.assert_allclose(np.asarray(found.mean_v, np.float64), exact, rtol=2**-8)


def test_slopes_of_alibi():
    np.testing.assert_allclose(alibi_slopes(1), [2**-8])
    np.testing.assert_allclose(alibi_slopes(8), 2.0 ** -np.arange(1, 9))
    np.testing.assert_allclose(alibi_slopes(11), [*2.0 ** -np.arange(1, 9), 2**-0.5, 2**-1.5, 2**-2.5])
    np.testing.assert_allclose(alibi_slopes(16), 2.0 ** (-np.arange(1, 17) / 2))


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (SlidingWindowConfig(d_state=7), 6),
        (LongformerConfig(d_state=7, num_global=3), 6 + 3),
        (LinformerConfig(d_state=2, block_size=5), 2 * ((LENGTH - 1) // 5) + 4),
        (BigBirdConfig(d_state=4, num_global=1, num_window=2, num_random=0), 3 * 4),
        (SoftmaxConfig(), LENGTH),
    ],
)
def test_number_of_rows_in_the_state(config, rows):
    """A row is a key and a value of D_MODEL floats; the counter of tokens adds 4 bytes."""
    state = config.make(D_MODEL, rngs=nnx.Rngs(0)).init_state(1, LENGTH)
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(state)) == rows * 2 * D_MODEL * 4 + 4


def test_windowed_heads_of_hard_alibi_carry_only_their_window():
    """Three of 4 pairs of query heads have windows of at most 6 tokens, of which 5 are carried."""
    config = SoftmaxConfig(num_heads=8, num_kv_heads=4, positions=Positions.hard_alibi, windowed_heads=7)
    state = config.make(16, rngs=nnx.Rngs(0)).init_state(1, LENGTH)
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == 2 * 2 * (3 * 5 + LENGTH) + 1


@pytest.mark.parametrize(
    "config", [SlidingWindowConfig(d_state=8), LongformerConfig(d_state=8), BigBirdConfig(d_state=8)]
)
def test_flops_are_linear_in_the_length(config):
    mixer = config.make(D_MODEL, rngs=nnx.Rngs(0))
    short, long = (count_flops(mixer, jax.ShapeDtypeStruct((1, n, D_MODEL), jnp.float32)) for n in (256, 1024))
    assert 3.9 < long / short < 4.1


@pytest.mark.parametrize("random", [0, 1, 3])
def test_pattern_and_pages_of_bigbird(random):
    def blocks_seen(n, seed=0):
        made = plan(n, 2, 3, random, seed)
        return made, [[int(j) for j in row if j >= 0] for row in made.seen]

    made, rows = blocks_seen(40)
    for block, row in enumerate(rows):
        near = range(max(block - 2, 0), block + 1)
        assert len(row) == len({*row}) == min(block + 1, 2 + 3 + random)
        assert {*near, *range(min(2, block + 1))} <= {*row} <= {*range(block + 1)}
        for j in row:  # a block that is read is still in its page
            assert made.held[block, made.page[j]] == j
    assert blocks_seen(23)[1] == rows[:23], "the pattern depends on the length"
    assert (blocks_seen(40, seed=1)[1] == rows) == (random == 0)

    needed = [sum(any(j in row for row in rows[block:]) for j in range(block + 1)) for block in range(40)]
    assert made.num_pages == max(needed)


@pytest.mark.slow(seconds=4)
def test_cudnn_runs_if_it_supports_the_inputs(monkeypatch):
    ran = []
    dot_product_attention = jax.nn.dot_product_attention

    def recorded(*arguments, implementation="xla", **options):
        ran.append(implementation)
        return dot_product_attention(*arguments, **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", recorded)

    def resolved(d_model, dtype, **options):
        mixer = SoftmaxConfig(**options).make(d_model, rngs=nnx.Rngs(0), dtype=dtype)
        with noted_implementations() as noted:
            mixer(jnp.zeros((1, 3, d_model), dtype))
        assert noted.names == ran[-1:]
        return ran[-1]

    assert resolved(16, jnp.bfloat16) == "xla"
    monkeypatch.setattr(attention, "target_platform", lambda: "gpu")
    assert resolved(16, jnp.bfloat16) == "cudnn"
    assert resolved(16, jnp.float32) == "xla"
    assert resolved(12, jnp.bfloat16) == "xla"
    assert resolved(136, jnp.bfloat16) == "xla"
    alibi = SoftmaxConfig(positions=Positions.alibi).make(16, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
    with noted_implementations() as noted:
        alibi(jnp.zeros((1, 3, 16), jnp.bfloat16))
    assert noted.names == ["xla"]


@pytest.mark.parametrize(
    ("make_config", "message"),
    [
        (lambda: SoftmaxConfig(num_heads=2, windowed_heads=2), "mixer.windowed_heads=2 must be less than"),
        (lambda: SoftmaxConfig(windowed_heads=-1), "mixer.windowed_heads=-1 must be at least 0"),
        (lambda: SlidingWindowConfig(d_state=0), "mixer.d_state=0 must be at least 1"),
        (lambda: SlidingWindowConfig(num_heads=4).check_width(12), "rope pairs channels"),
        (lambda: LongformerConfig(d_state=3), "mixer.num_global=4 must be at most the window, mixer.d_state=3"),
        (lambda: BigBirdConfig(num_window=0), "mixer.num_window=0 must be at least 1"),
        (lambda: BigBirdConfig(seed=-1), "mixer.seed=-1 must be at least 0"),
        (lambda: LinformerConfig(block_size=0), "mixer.block_size=0 must be at least 1"),
        (
            lambda: (
                SlidingWindowConfig(positions=Positions.learned, max_positions=4)
                .make(12, rngs=nnx.Rngs(0))
                .init_state(1, 5)
            ),
            "mixer.max_positions=4 is the longest sequence",
        ),
    ],
)
def test_impossible_options_are_refused(make_config, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        make_config()
