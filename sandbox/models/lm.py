"""The language model: token embedding, blocks, norm, and a readout, by default tied to the embedding."""

import dataclasses
import enum
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from sandbox.errors import did_you_mean
from sandbox.models.block import Block, BlockState
from sandbox.models.channel_mixers import ChannelMixer
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.mixer import MixerConfig
from sandbox.models.mixers import MIXERS
from sandbox.models.segments import in_segments
from sandbox.models.start import DenseStart, scale_outputs, start_dense
from sandbox.option_checks import check_at_least, check_texts
from sandbox.scans.argument_checks import check_segment_ids
from sandbox.scans.segments import SegmentIds
from sandbox.shapes import Activations, Token, Tokens

SWEPT = "mixer"
"""Name in `model.layout` of the mixer that the config group `mixer` selects."""

ATTENTION = "attention"
"""Name in `model.layout` of `model.mixers[attention]`, by default softmax attention."""

ModelState = tuple[BlockState, ...]
"""The decode state of each layer."""


class Precision(enum.Enum):
    """Dtype of activations and caches; parameters and recurrent states are float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


@dataclasses.dataclass
class ModelConfig:
    """Width, depth, and the mixer of each layer."""

    version: ClassVar[int] = 1
    """Goes up by one when a model around its mixers of the same options comes to give other results."""

    d_model: int = 64
    layout: list[str] = dataclasses.field(default_factory=lambda: [f"{SWEPT}*2"])
    """The mixer of each layer, first to last, as `name` or `name*times`. A name is `mixer` (the swept one), a key
    of `model.mixers`, or any mixer, with its defaults."""
    num_layers: int | None = None
    """Number of layers: `layout` is cycled to this depth. None: one pass."""
    mixers: dict[str, MixerConfig] = dataclasses.field(default_factory=dict)
    """Further mixers of a hybrid, under the names that `layout` uses."""
    attention_every: int | None = None
    """Makes every n-th layer `attention`. None: `layout` is unchanged."""
    shared: list[str] = dataclasses.field(default_factory=list)
    """Names in `layout` whose layers share one set of weights, channel mixer included; states stay separate."""
    hybrid: str | None = None
    """Name of a preset of `conf/model/`, shown before the name of its mixer in figures and tables."""
    channel_mixer: ChannelMixer = ChannelMixer.none
    """The map over channels that follows the mixer in each layer."""
    precision: Precision = Precision.float32
    embedding_std: float | None = 0.02
    """Standard deviation of the token embedding at the start. None: d_model^-1/2."""
    scale_embedding: bool = False
    """Multiply embeddings by √d_model on the way in (Vaswani et al. 2017, section 3.4)."""
    tied: bool = True
    """Read out with the weights of the embedding; else with weights of its own, a `Dense` layer."""
    scale_readout: bool = False
    """Divide logits by √d_model."""
    dense: DenseStart = DenseStart.own
    """How linear maps start."""
    branches_per_layer: int | None = None
    """Output projections start 1/√(n · layers) as large: n is 2 in GPT-2, 1 in Mamba. None: they do not."""

    def __post_init__(self) -> None:
        check_at_least("model.d_model", self.d_model, 1)
        check_texts("model.layout", self.layout)
        check_texts("model.shared", self.shared)
        if self.embedding_std is not None:
            check_at_least("model.embedding_std", self.embedding_std, 0)
        if self.branches_per_layer is not None:
            check_at_least("model.branches_per_layer", self.branches_per_layer, 1)
        if self.num_layers is not None:
            check_at_least("model.num_layers", self.num_layers, 1)
        self.layer_names()

    def layer_names(self) -> list[str]:
        """Names of the mixers of all layers: `layout` cycled to `num_layers`, with `attention_every` applied.

        Raises ValueError for an unknown name, a malformed entry, or a name that no layer gets.
        """
        pattern = [name for entry in self.layout for name in self._repeated(entry)]
        if not pattern:
            raise ValueError("model.layout=[] has no layer: name at least one mixer")
        every, depth = self.attention_every, self.num_layers or len(pattern)
        names = list(itertools.islice(itertools.cycle(pattern), depth))
        if every is not None:
            check_at_least("model.attention_every", every, 1)
            if every > depth:
                raise ValueError(f"model.attention_every={every} must be at most the number of layers, {depth}")
            names[every - 1 :: every] = [ATTENTION] * (depth // every)
        elif left_out := sorted({*pattern} - {*names}):
            raise ValueError(
                f"model.num_layers={self.num_layers} leaves no layer for {', '.join(left_out)} "
                f"of model.layout: use {len(pattern)} or more"
            )
        if unused := sorted({*self.shared} - {*names}):
            raise ValueError(f"model.shared has {', '.join(unused)}, which no layer is; the layers: {names}")
        return names

    def _repeated(self, entry: str) -> list[str]:
        known = [SWEPT, ATTENTION, *self.mixers, *MIXERS]
        parts = re.fullmatch(r"\s*(\w+)\s*(?:\*\s*([1-9]\d*))?\s*", entry)
        if not parts or parts[1] not in known:
            choices, hint = ", ".join(dict.fromkeys(known)), did_you_mean(parts[1], known) if parts else ""
            raise ValueError(
                f"model.layout has {entry!r}{hint}: each entry is a name or name*times, names: {choices}"
            )
        return [parts[1]] * int(parts[2] or 1)

    def layer_mixers(self, mixer: MixerConfig) -> list[MixerConfig]:
        """The mixer config of each layer. Raises ValueError if one rejects `d_model`."""
        named: Mapping[str, MixerConfig] = {ATTENTION: MIXERS["softmax"](), **self.mixers, SWEPT: mixer}
        configs = [named[name] if name in named else MIXERS[name]() for name in self.layer_names()]
        for config in configs:
            config.check_width(self.d_model)
        return configs

    def make(self, mixer: MixerConfig, vocab_size: int, *, rngs: nnx.Rngs) -> "LanguageModel":
        """A model with a vocabulary of `vocab_size` tokens."""
        return LanguageModel(self, mixer, vocab_size, rngs=rngs)


class LanguageModel(nnx.Module):
    """Maps tokens to logits over the vocabulary. Decode state: a `ModelState`."""

    def __init__(self, config: ModelConfig, mixer: MixerConfig, vocab_size: int, *, rngs: nnx.Rngs):
        self.dtype = jnp.dtype(config.precision.value)
        shape, root = (vocab_size, config.d_model), math.sqrt(config.d_model)
        std = 1 / root if config.embedding_std is None else config.embedding_std
        self.embedding = nnx.Param(nnx.initializers.normal(std)(rngs.params(), shape, jnp.float32))
        self.embedding_factor = root if config.scale_embedding else None
        self.readout_factor = 1 / root if config.scale_readout else None
        names, mixers = config.layer_names(), config.layer_mixers(mixer)
        blocks: list[Block] = []
        self.block_indices: list[int] = []  # per layer; layers that share weights share a block
        for layer, (name, layer_mixer) in enumerate(zip(names, mixers, strict=True)):
            if name in config.shared and name in names[:layer]:
                self.block_indices.append(self.block_indices[names.index(name)])
                continue
            self.block_indices.append(len(blocks))
            made = layer_mixer.make(config.d_model, rngs=rngs, dtype=self.dtype)
            blocks.append(
                Block(
                    made,
                    config.d_model,
                    config.channel_mixer,
                    takes_segments=layer_mixer.takes_segments,
                    rngs=rngs,
                    dtype=self.dtype,
                )
            )
        self.blocks = nnx.List(blocks)
        self.norm = RMSNorm(config.d_model)
        self.readout = None if config.tied else Dense(config.d_model, vocab_size, rngs=rngs)
        start_dense(self, config.dense, rngs=rngs)
        if config.branches_per_layer is not None:
            scale_outputs(blocks, 1 / math.sqrt(config.branches_per_layer * len(names)))

    def __call__(
        self, tokens: Tokens, positions: Int[Array, "B M"] | None = None, segment_ids: SegmentIds = None
    ) -> Float[Array, "B M N"]:
        """Logits at `positions`. None: at all T positions.

        The other positions skip the readout, which dominates the arithmetic if the vocabulary is large.
        `segment_ids` put several sequences in one row: where the id changes, the next one starts, as if alone.

        Raises ValueError for `segment_ids` that are not integers `[B, T]`.
        """
        if segment_ids is not None:
            check_segment_ids(segment_ids, *tokens.shape)
        x = self.embed(tokens)
        with in_segments(segment_ids):
            for block in self.layers:
                x = block(x)
        if positions is not None:
            x = jnp.take_along_axis(x, positions[:, :, None], axis=1)
        return self._readout(x)

    @property
    def layers(self) -> list[Block]:
        """The block of each layer; shared blocks repeat."""
        return [self.blocks[index] for index in self.block_indices]

    def init_state(self, batch_size: int, max_len: int) -> ModelState:
        """The empty decode state for sequences of up to `max_len` tokens."""
        return tuple(block.init_state(batch_size, max_len) for block in self.layers)

    def prefill(self, tokens: Tokens, state: ModelState) -> tuple[Float[Array, "B T N"], ModelState]:
        """Logits at the next T tokens, from `state`."""
        x, carried = _decode([block.prefill for block in self.layers], self.embed(tokens), state)
        return self._readout(x), carried

    def step(self, tokens: Int[Array, "B"], state: ModelState) -> tuple[Float[Array, "B N"], ModelState]:
        """Logits at the next token, from `state`."""
        x, carried = _decode([block.step for block in self.layers], self.embed(tokens[:, None])[:, 0], state)
        return self._readout(x[:, None])[:, 0], carried

    def embed(self, tokens: Tokens) -> Float[Array, "B T D"]:
        """What the first layer reads."""
        x = self.embedding[...].astype(self.dtype)[tokens]
        return x if self.embedding_factor is None else x * self.embedding_factor

    def _readout(self, x: Float[Array, "B M D"]) -> Float[Array, "B M N"]:
        x = self.norm(x)
        if self.readout_factor is not None:
            x = x * self.readout_factor
        if self.readout is not None:
            return self.readout(x).astype(jnp.float32)
        logits = x.reshape(-1, x.shape[-1]) @ self.embedding[...].astype(x.dtype).T
        return logits.reshape(*x.shape[:2], -1).astype(jnp.float32)


def _decode(
    forms: Sequence[Callable[[jax.Array, BlockState], tuple[jax.Array, BlockState]]],
    x: Activations | Token,
    state: ModelState,
) -> tuple[Activations | Token, ModelState]:
    carried = []
    for form, layer_state in zip(forms, state, strict=True):
        x, layer_state = form(x, layer_state)
        carried.append(layer_state)
    return x, tuple(carried)
