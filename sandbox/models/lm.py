"""The model: token embedding, a layout of blocks, norm, readout tied to the embedding."""

import dataclasses
import enum
import itertools
import re
from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from sandbox.models.block import Block, BlockState
from sandbox.models.channel_mixers import ChannelMixer
from sandbox.models.layers.norms import RMSNorm
from sandbox.models.mixer import MixerConfig
from sandbox.models.mixers import MIXERS
from sandbox.option_checks import check_at_least
from sandbox.shapes import Tokens

SWEPT = "mixer"
"""In `model.layout`, the mixer of the group `mixer`: the one that a sweep varies."""

ATTENTION = "attention"
"""In `model.layout`, the entry `attention` of `model.mixers`; softmax attention if there is none."""

ModelState = tuple[BlockState, ...]
"""The decode state of each layer."""


class Precision(enum.Enum):
    """Type of activations and caches; parameters and recurrent states are float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


@dataclasses.dataclass
class ModelConfig:
    """Width, depth, and which mixer stands in which layer."""

    d_model: int = 64
    layout: list[str] = dataclasses.field(default_factory=lambda: [f"{SWEPT}*2"])
    """The mixer of each layer, first to last, as a name or `name*times`. A name is `mixer` (the swept one), a name
    in `model.mixers`, or that of any mixer, with its defaults."""
    num_layers: int | None = None
    """Number of layers: `layout` is cycled to this depth. None: one pass."""
    mixers: dict[str, MixerConfig] = dataclasses.field(default_factory=dict)
    """Further mixers of a hybrid, each with its own config, under a name for `layout`."""
    attention_every: int | None = None
    """4 makes layers 4, 8, 12, … attention: the entry `attention` of `model.mixers`, or softmax attention.
    None: `layout` as it stands."""
    shared: list[str] = dataclasses.field(default_factory=list)
    """Names in `layout` whose layers share one set of weights, channel mixer included. Each layer carries its own
    state."""
    hybrid: str | None = None
    """Name of a preset of `conf/model/` in figures and tables, before the name of its mixer."""
    channel_mixer: ChannelMixer = ChannelMixer.none
    """What follows the sequence mixer in each layer."""
    precision: Precision = Precision.float32

    def __post_init__(self) -> None:
        check_at_least("model.d_model", self.d_model, 1)
        if self.num_layers is not None:
            check_at_least("model.num_layers", self.num_layers, 1)
        self.layer_names()

    def layer_names(self) -> list[str]:
        """The name of each layer's mixer: the layout cycled to its depth, with `attention_every` applied.

        Raises ValueError for an unknown name, a malformed repeat, or a name that no layer would get.
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
        """`name*times` written out."""
        known = [SWEPT, ATTENTION, *self.mixers, *MIXERS]
        parts = re.fullmatch(r"\s*(\w+)\s*(?:\*\s*([1-9]\d*))?\s*", entry)
        if not parts or parts[1] not in known:
            choices = ", ".join(dict.fromkeys(known))
            raise ValueError(f"model.layout has {entry!r}: each entry is a name or name*times, names: {choices}")
        return [parts[1]] * int(parts[2] or 1)

    def layer_mixers(self, mixer: MixerConfig) -> list[MixerConfig]:
        """The mixer config of each layer, with `mixer` as the swept one; checked against `d_model`."""
        named: Mapping[str, MixerConfig] = {ATTENTION: MIXERS["softmax"](), **self.mixers, SWEPT: mixer}
        configs = [named[name] if name in named else MIXERS[name]() for name in self.layer_names()]
        for config in configs:
            config.check_width(self.d_model)
        return configs

    def make(self, mixer: MixerConfig, vocab_size: int, *, rngs: nnx.Rngs) -> "LanguageModel":
        """A model over `vocab_size` tokens."""
        return LanguageModel(self, mixer, vocab_size, rngs=rngs)


class LanguageModel(nnx.Module):
    """Tokens in, logits over the vocabulary out. Decode state: that of each layer."""

    def __init__(self, config: ModelConfig, mixer: MixerConfig, vocab_size: int, *, rngs: nnx.Rngs):
        self.dtype = jnp.dtype(config.precision.value)
        shape = (vocab_size, config.d_model)
        self.embedding = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), shape, jnp.float32))
        names, mixers = config.layer_names(), config.layer_mixers(mixer)
        blocks: list[Block] = []
        self.places: list[int] = []  # index of each layer's block; layers that share weights have the same
        for layer, (name, layer_mixer) in enumerate(zip(names, mixers, strict=True)):
            if name in config.shared and name in names[:layer]:
                self.places.append(self.places[names.index(name)])
                continue
            self.places.append(len(blocks))
            made = layer_mixer.make(config.d_model, rngs=rngs, dtype=self.dtype)
            blocks.append(Block(made, config.d_model, config.channel_mixer, rngs=rngs, dtype=self.dtype))
        self.blocks = nnx.List(blocks)
        self.norm = RMSNorm(config.d_model)

    def __call__(self, tokens: Tokens, positions: Int[Array, "B M"] | None = None) -> Float[Array, "B M N"]:
        """Logits at `positions`, or at every position (M = T) if none are given.

        Only these positions reach the readout: at a vocabulary of 8192 that is most of the arithmetic.
        """
        x = self._embed(tokens)
        for block in self.layers:
            x = block(x)
        if positions is not None:
            x = jnp.take_along_axis(x, positions[:, :, None], axis=1)
        return self._readout(x)

    @property
    def layers(self) -> list[Block]:
        """The block of each layer, first to last; shared ones several times."""
        return [self.blocks[place] for place in self.places]

    def init_state(self, batch_size: int, max_len: int) -> ModelState:
        """The empty decode state for sequences of up to `max_len` tokens."""
        return tuple(block.init_state(batch_size, max_len) for block in self.layers)

    def prefill(self, tokens: Tokens, state: ModelState) -> tuple[Float[Array, "B T N"], ModelState]:
        """Logits at the next T tokens, from `state`."""
        x, carried = self._embed(tokens), []
        for block, layer_state in zip(self.layers, state, strict=True):
            x, layer_state = block.prefill(x, layer_state)
            carried.append(layer_state)
        return self._readout(x), tuple(carried)

    def step(self, tokens: Int[Array, "B"], state: ModelState) -> tuple[Float[Array, "B N"], ModelState]:
        """Logits at the next token, from `state`."""
        x, carried = self._embed(tokens[:, None])[:, 0], []
        for block, layer_state in zip(self.layers, state, strict=True):
            x, layer_state = block.step(x, layer_state)
            carried.append(layer_state)
        return self._readout(x[:, None])[:, 0], tuple(carried)

    def _embed(self, tokens: Tokens) -> Float[Array, "B T D"]:
        return self.embedding[...].astype(self.dtype)[tokens]

    def _readout(self, x: Float[Array, "B M D"]) -> Float[Array, "B M N"]:
        x = self.norm(x)
        logits = x.reshape(-1, x.shape[-1]) @ self.embedding[...].astype(x.dtype).T
        return logits.reshape(*x.shape[:2], -1).astype(jnp.float32)
