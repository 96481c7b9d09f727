"""Models of others in PyTorch, each with its own start: of `transformers`, and Zoology's blocks, plainly."""

import math
import pathlib
import runpy
from collections.abc import Callable

import torch
import torch.nn.functional as F
import transformers
from torch import nn

BLOCKS = runpy.run_path(str(pathlib.Path(__file__).parents[2] / "benchmarks" / "pytorch_model.py"))
"""Zoology's gated short convolution (zoology/mixers/base_conv.py) and attention (zoology/mixers/attention.py)."""

WIDTH, LAYERS, TAPS = 64, 2, 3


class TaylorAttention(nn.Module):
    """Based's linear attention of one head (zoology/mixers/based.py).

    φ(x) = [1, x / d^¼, x ⊗ x / √(2 d)] for keys of d channels, with normalised weights.
    """

    def __init__(self, width: int, features: int = 16) -> None:
        super().__init__()
        self.q = nn.Linear(width, features, bias=False)
        self.k = nn.Linear(width, features, bias=False)
        self.v = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] to [B, T, D], by the weights φ(q)ᵀφ(k) = 1 + s + s²/2 with s = qᵀk / √d, summed to one."""
        q, k = self.q(x), self.k(x)
        similar = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        weights = torch.tril(1 + similar + similar**2 / 2)
        return self.out(weights / (weights.sum(-1, keepdim=True) + 1e-12) @ self.v(x))


class Zoology(nn.Module):
    """Zoology's language model of two pre-norm layers without MLP, its readout tied to the embedding.

    As in zoology/model.py, linear maps and embeddings start N(0, 0.02²), output projections 1/√(2 · layers) as
    wide.
    """

    def __init__(self, vocab: int, mixer: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, WIDTH)
        self.mixers = nn.ModuleList([BLOCKS["GatedShortConv"](WIDTH, TAPS), mixer])
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in self.mixers])
        self.norm = nn.LayerNorm(WIDTH)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                rescale = math.sqrt(2 * LAYERS) if name.endswith("out.weight") else 1
                nn.init.normal_(parameter, std=0.02 / rescale)
            elif name.endswith("bias") and "conv" not in name:
                nn.init.zeros_(parameter)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, N] of tokens [B, T]."""
        x = self.embedding(tokens)
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            x = x + mixer(norm(x))
        return F.linear(self.norm(x), self.embedding.weight)


class FromTransformers(nn.Module):
    """A causal language model of `transformers`, as a map from tokens to logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, N] of tokens [B, T]."""
        return self.model(tokens, use_cache=False).logits


def _mamba(vocab: int, length: int) -> nn.Module:
    config = transformers.MambaConfig(
        vocab_size=vocab, hidden_size=WIDTH, state_size=16, num_hidden_layers=LAYERS, use_mambapy=False
    )
    return FromTransformers(transformers.MambaForCausalLM(config))


def _mamba2(vocab: int, length: int) -> nn.Module:
    config = transformers.Mamba2Config(
        vocab_size=vocab,
        hidden_size=WIDTH,
        state_size=16,
        num_heads=2,
        head_dim=WIDTH,
        n_groups=1,
        num_hidden_layers=LAYERS,
        chunk_size=32,
    )
    return FromTransformers(transformers.Mamba2ForCausalLM(config))


def _rwkv4(vocab: int, length: int) -> nn.Module:
    config = transformers.RwkvConfig(
        vocab_size=vocab, hidden_size=WIDTH, num_hidden_layers=LAYERS, context_length=length, rescale_every=0
    )
    return FromTransformers(transformers.RwkvForCausalLM(config))


REFERENCES: dict[str, Callable[[int, int], nn.Module]] = {
    "mamba": _mamba,
    "mamba2": _mamba2,
    "rwkv4": _rwkv4,
    "attention": lambda vocab, length: Zoology(vocab, BLOCKS["Attention"](WIDTH, bias=True)),
    "based": lambda vocab, length: Zoology(vocab, TaylorAttention(WIDTH)),
}
"""Each reference by the label of ours beside it: a model for so many tokens of vocabulary and of sequence."""
