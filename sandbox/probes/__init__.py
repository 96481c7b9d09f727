"""A look inside a trained model: what its memory holds, for how long, and what is read from it."""

from sandbox.probes.attention import (
    AttentionSummary,
    implicit_attention,
    implicit_attention_of_layers,
    summarize_attention,
)
from sandbox.probes.half_lives import half_lives, half_lives_of_layers
from sandbox.probes.trained import TrainedModel, load_trained

__all__ = [
    "AttentionSummary",
    "TrainedModel",
    "half_lives",
    "half_lives_of_layers",
    "implicit_attention",
    "implicit_attention_of_layers",
    "load_trained",
    "summarize_attention",
]
