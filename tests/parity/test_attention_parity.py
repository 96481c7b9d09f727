"""Softmax attention against the layers of models in transformers: the same weights, outputs and caches.

Longformer and BigBird are not causal. Run on the first t + 1 tokens alone (and padding) they have no future, and
what they compute for token t is what a causal layer must.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scan_peers import torch, transformers
from weights import randomize, relative_error, set_param

from sandbox.models.layers.attention import Positions
from sandbox.models.mixers.bigbird import BigBirdConfig, plan
from sandbox.models.mixers.longformer import LongformerConfig
from sandbox.models.mixers.sliding_window import SlidingWindowConfig
from sandbox.models.mixers.softmax import SoftmaxConfig

D_MODEL, LENGTH, WINDOW = 24, 23, 5
GROUPED = {"num_attention_heads": 4, "num_key_value_heads": 2, "attn_implementation": "eager"}


def inputs(width=D_MODEL):
    return np.random.default_rng(0).normal(size=(2, LENGTH, width)).astype(np.float32)


def set_dense(ours, weight, bias=None):
    """`weight` is `[O, I]`, as in `torch.nn.Linear`."""
    set_param(ours.kernel, weight.T)
    assert (bias is None) == (ours.bias is None)
    if bias is not None:
        set_param(ours.bias, bias)


def our_mixer(config, *layers, width=D_MODEL, names=("q", "k", "v", "out")):
    """A mixer with the weights of `layers`, each a `Linear` or (weight, bias)."""
    mixer = config.make(width, rngs=nnx.Rngs(0))
    for name, layer in zip(names, layers, strict=True):
        weights = layer if isinstance(layer, tuple) else (layer.weight, layer.bias)
        set_dense(getattr(mixer, name), *weights)
    return mixer


def projections(layer):
    return layer.q_proj, layer.k_proj, layer.v_proj, layer.o_proj


def causal_mask(length):
    """What is added to scores."""
    return torch.full((length, length), torch.finfo(torch.float32).min).triu(1)[None, None]


@pytest.mark.parametrize("window", [None, WINDOW], ids=["all tokens", "window"])
def test_mistral(window):
    """Attention within the whole model, which makes the mask, the rotary positions and the cache."""
    mistral = transformers("mistral")
    config = mistral.MistralConfig(
        vocab_size=7,
        hidden_size=D_MODEL,
        intermediate_size=8,
        num_hidden_layers=1,
        sliding_window=window,
        **GROUPED,
    )
    model = randomize(mistral.MistralModel(config))
    layer, seen = model.layers[0].self_attn, {}
    layer.register_forward_hook(
        lambda layer, _, options, outputs: seen.update(x=options["hidden_states"], y=outputs[0]), with_kwargs=True
    )
    with torch.no_grad():
        model(inputs_embeds=torch.tensor(inputs()), use_cache=False)
        x, expected = seen["x"], seen["y"]
        cache = model(inputs_embeds=torch.tensor(inputs()), use_cache=True).past_key_values.layers[0]

    options = {"num_heads": 4, "num_kv_heads": 2, "positions": Positions.rope}
    ours = SoftmaxConfig(**options) if window is None else SlidingWindowConfig(d_state=window, **options)
    mixer = our_mixer(ours, *projections(layer))
    found, state = jax.jit(mixer.prefill)(jnp.asarray(x), mixer.init_state(2, LENGTH))
    assert relative_error(expected, mixer(jnp.asarray(x))) < 1e-4
    assert relative_error(expected, found) < 1e-4
    assert relative_error(cache.keys.transpose(1, 2), state.k) < 1e-4
    assert relative_error(cache.values.transpose(1, 2), state.v) < 1e-4


def test_attention_of_jamba():
    jamba = transformers("jamba")
    config = jamba.JambaConfig(hidden_size=D_MODEL, **GROUPED)
    layer, x = randomize(jamba.JambaAttention(config, 0)), inputs()
    with torch.no_grad():
        expected, _ = layer(torch.tensor(x), causal_mask(LENGTH))
    mixer = our_mixer(SoftmaxConfig(num_heads=4, num_kv_heads=2), *projections(layer))
    assert relative_error(expected, mixer(jnp.asarray(x))) < 1e-4


def test_attention_of_zamba():
    """It reads two vectors of the model's width and writes one, and scales scores by √(2/K) in place of √(1/K)."""
    zamba = transformers("zamba")
    config = zamba.ZambaConfig(hidden_size=D_MODEL, **GROUPED)
    layer, x = randomize(zamba.ZambaAttention(config, 0)), inputs(2 * D_MODEL)
    with torch.no_grad():
        expected, _ = layer(torch.tensor(x), 0, causal_mask(LENGTH))
    q, k, v, out = projections(layer)
    scaled, padded = 2**0.5 * q.weight, torch.cat([out.weight, torch.zeros_like(out.weight)])
    mixer = our_mixer(SoftmaxConfig(num_heads=4, num_kv_heads=2), (scaled,), k, v, (padded,), width=2 * D_MODEL)
    assert relative_error(expected, mixer(jnp.asarray(x))[..., :D_MODEL]) < 1e-4


def test_learned_positions_of_gpt2():
    gpt2 = transformers("gpt2")
    config = gpt2.GPT2Config(n_embd=D_MODEL, n_head=4, n_positions=LENGTH, attn_implementation="eager")
    layer, table, x = (
        randomize(gpt2.GPT2Attention(config, layer_idx=0)).eval(),
        torch.randn(LENGTH, D_MODEL),
        inputs(),
    )
    with torch.no_grad():
        expected, _ = layer(torch.tensor(x) + table, attention_mask=causal_mask(LENGTH))
    parts = zip(layer.c_attn.weight.T.split(D_MODEL), layer.c_attn.bias.split(D_MODEL), strict=True)
    ours = SoftmaxConfig(num_heads=4, positions=Positions.learned, max_positions=LENGTH, use_bias=True)
    mixer = our_mixer(ours, *parts, (layer.c_proj.weight.T, layer.c_proj.bias))
    set_param(mixer.position_table, table)
    assert relative_error(expected, mixer(jnp.asarray(x))) < 1e-4


@pytest.mark.parametrize("heads", [4, 6])
def test_alibi_of_mpt(heads):
    mpt = transformers("mpt")
    layer, x = randomize(mpt.MptAttention(mpt.MptConfig(d_model=D_MODEL, n_heads=heads))), inputs()
    with torch.no_grad():
        expected, _ = layer(
            torch.tensor(x),
            mpt.build_mpt_alibi_tensor(heads, LENGTH),
            attention_mask=torch.ones(LENGTH, LENGTH, dtype=bool).triu(1)[None, None],
        )
    q, k, v = ((part,) for part in layer.Wqkv.weight.split(D_MODEL))
    mixer = our_mixer(SoftmaxConfig(num_heads=heads, positions=Positions.alibi), q, k, v, layer.out_proj)
    assert relative_error(expected, mixer(jnp.asarray(x))) < 1e-4


def last_of_each_prefix(run, x, multiple, tokens=LENGTH):
    """`run(padded prefix, tokens in it)`, which gives all outputs, for each prefix; of each its last token."""
    outputs = []
    for count in range(1, tokens + 1):
        padded = np.zeros((len(x), -(-count // multiple) * multiple, D_MODEL), np.float32)
        padded[:, :count] = x[:, :count]
        outputs.append(run(torch.tensor(padded), count)[:, count - 1])
    return torch.stack(outputs, dim=1)


def test_longformer():
    """A window of WINDOW - 1 tokens on either side; the first three tokens are global."""
    longformer, num_global = transformers("longformer"), 3
    config = longformer.LongformerConfig(
        hidden_size=D_MODEL, num_attention_heads=4, num_hidden_layers=1, attention_window=[2 * (WINDOW - 1)]
    )
    layer = randomize(longformer.LongformerAttention(config)).eval()
    own, dense = layer.self, layer.output.dense

    def run(x, count):
        mask = torch.zeros(x.shape[:2])
        mask[:, :num_global] = 10_000.0
        mask[:, count:] = -10_000.0
        return dense(own(x, mask, mask < 0, mask > 0, is_global_attn=True)[0])

    x = inputs()
    with torch.no_grad():
        expected = last_of_each_prefix(run, x, 2 * (WINDOW - 1))
    ours = LongformerConfig(
        num_heads=4, d_state=WINDOW, num_global=num_global, positions=Positions.none, use_bias=True
    )
    mixer = our_mixer(
        ours,
        *(own.query, own.key, own.value, dense, own.query_global, own.key_global, own.value_global),
        names=("q", "k", "v", "out", "global_q", "global_k", "global_v"),
    )
    assert relative_error(expected, mixer(jnp.asarray(x))) < 1e-4


def test_bigbird():
    """The block-sparse form, given our random blocks. Its last block is global: tokens stop before it."""
    bigbird, blocks, size, random = transformers("big_bird"), 12, 2, 2
    config = bigbird.BigBirdConfig(
        hidden_size=D_MODEL,
        num_attention_heads=4,
        block_size=size,
        num_random_blocks=random,
        max_position_embeddings=64,
    )
    layer = randomize(bigbird.BigBirdBlockSparseAttention(config))
    dense = randomize(torch.nn.Linear(D_MODEL, D_MODEL))
    ours = BigBirdConfig(
        num_heads=4, d_state=size, num_random=random, positions=Positions.none, seed=3, use_bias=True
    )

    # Random blocks of the blocks 1 … n-2. Where there is no more past the last block stands in, which is padding.
    seen = plan(blocks, ours.num_global, ours.num_window, ours.num_random, ours.seed).seen
    drawn = [sorted({*seen[i].tolist()} - {-1, 0, i - 1, i}) for i in range(1, blocks - 1)]
    assert max(map(len, drawn)) == random
    drawn = [row + [blocks - 1] * (random - len(row)) for row in drawn]
    layer._bigbird_block_rand_mask_with_head = lambda **_: [np.array(drawn)] * 4

    def run(x, count):
        mask = torch.zeros(x.shape[:2])
        mask[:, :count] = 1.0
        blocked, band, rows, columns = bigbird.BigBirdModel.create_masks_for_block_sparse_attn(mask, size)
        return dense(layer(x, band, rows, columns, blocked, blocked)[0])

    x, tokens = inputs(), (blocks - 1) * size
    with torch.no_grad():
        expected = last_of_each_prefix(run, x, blocks * size, tokens)
    mixer = our_mixer(ours, layer.query, layer.key, layer.value, dense)
    assert relative_error(expected, mixer(jnp.asarray(x))[:, :tokens]) < 1e-4
