"""A small recall model and its training step in idiomatic PyTorch.

Token embedding, gated short convolution, one causal softmax head, pre-norm residuals with RMSNorm, no MLP, readout
tied to the embedding.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

IGNORED = -100
"""Label of the positions that are not scored."""


class GatedShortConv(nn.Module):
    """y = conv(x) ⊙ (x W + b) + x."""

    def __init__(self, width: int, taps: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, taps, groups=width, padding=taps - 1)
        self.gate = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] to [B, T, D]."""
        y = self.conv(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
        return y * self.gate(x) + x


class Attention(nn.Module):
    """One causal softmax head without positions."""

    def __init__(self, width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] to [B, T, D]."""
        q, k, v = self.qkv(x).unsqueeze(1).chunk(3, dim=-1)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1))


class TorchModel(nn.Module):
    """The model that the module's docstring describes."""

    def __init__(self, vocab: int, width: int, taps: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.mixers = nn.ModuleList([GatedShortConv(width, taps), Attention(width)])
        self.norms = nn.ModuleList([nn.RMSNorm(width, eps=1e-6) for _ in self.mixers])
        self.norm = nn.RMSNorm(width, eps=1e-6)

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """The input of the readout, [B, T, D]."""
        x = self.embedding(tokens)
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            x = x + mixer(norm(x))
        return x

    def readout(self, x: torch.Tensor) -> torch.Tensor:
        """Logits over the vocabulary."""
        return F.linear(self.norm(x), self.embedding.weight)

    def loss(self, tokens: torch.Tensor, labels: torch.Tensor, labelled_only: bool) -> torch.Tensor:
        """Mean cross entropy of the labelled positions; all positions reach the readout, or these alone."""
        x, labels = self.hidden(tokens).flatten(0, 1), labels.flatten()
        if labelled_only:
            labelled = (labels != IGNORED).nonzero().squeeze(1)
            x, labels = x.index_select(0, labelled), labels[labelled]
        return F.cross_entropy(self.readout(x), labels, ignore_index=IGNORED)

    def load(self, params: dict[str, Any]) -> None:
        """Copies in the parameters of our model of the same layout."""
        first, second = params["blocks"][0], params["blocks"][1]
        conv, attention = first["mixer"], second["mixer"]
        weights = {
            "embedding.weight": params["embedding"],
            # Our taps go back in time from the present token, PyTorch's end with it.
            "mixers.0.conv.weight": conv["conv"]["kernel"][::-1].T[:, None],
            "mixers.0.conv.bias": conv["conv"]["bias"],
            "mixers.0.gate.weight": conv["gate"]["kernel"].T,
            "mixers.0.gate.bias": conv["gate"]["bias"],
            "mixers.1.qkv.weight": np.concatenate([attention[name]["kernel"].T for name in "qkv"]),
            "mixers.1.out.weight": attention["out"]["kernel"].T,
            "norms.0.weight": first["norm"]["scale"],
            "norms.1.weight": second["norm"]["scale"],
            "norm.weight": params["norm"]["scale"],
        }
        self.load_state_dict({name: torch.from_numpy(np.array(weight)) for name, weight in weights.items()})


def make_step(
    model: TorchModel,
    labelled_only: bool,
    *,
    learning_rate: float,
    betas: tuple[float, float],
    weight_decay: float,
    clip_norm: float,
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A function that takes one step of AdamW on tokens and labels [B, T], and returns the loss before it."""
    # A vector is the scale of a norm or a bias, which our optimiser does not decay either.
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, learning_rate, betas, fused=True)

    def step(tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(tokens, labels, labelled_only)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        return loss.detach()

    return step
