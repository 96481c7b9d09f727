"""Linear attention (Katharopoulos et al. 2020, arXiv:2006.16236) with a choice of feature maps φ.

    S_t = S_{t-1} + φ(k_t) v_tᵀ ,   z_t = z_{t-1} + φ(k_t) ,   o_t = S_tᵀ φ(q_t) / (z_t·φ(q_t) + ε)

ε is 1e-6 as in the authors' code; the only scale is φ's own, since normalising removes any. If φ(q)·φ(k) can be
negative, the sum of the weights may vanish; then o_t = S_tᵀ φ(q_t) / max(|z_t·φ(q_t)|, 1), as in mLSTM. z is an
extra column of the memory, for a value that is always one: `[B, H, F, V+1]` for F features.

Presets: `performer` with FAVOR+ (Choromanski et al. 2021, arXiv:2009.14794) and `based` with the second-order
series of exp (Arora et al. 2024, arXiv:2402.18668).
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from sandbox.models.layers import feature_maps
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.feature_maps import ELEMENTWISE, SIGNED, FeatureMap, Hedgehog
from sandbox.models.mixer import Card, Mixer, ScanConfig
from sandbox.option_checks import check_at_least, check_divides
from sandbox.scans import gated_linear_attention
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values

EPSILON = 1e-6
"""Added to a sum of nonnegative weights before dividing by it."""


@dataclasses.dataclass(unsafe_hash=True)
class FeatureConfig(ScanConfig):
    """The options of linear attention that do not depend on the feature map."""

    num_heads: int = 1
    normalize: bool = True
    """Divide the output by the sum of the weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.num_heads", self.num_heads, 1)

    def check_width(self, d_model: int) -> None:
        check_divides("mixer.num_heads", self.num_heads, "model.d_model", d_model)

    @property
    def channels(self) -> int:
        """Channels of a head's queries and keys."""
        raise NotImplementedError

    @property
    def num_features(self) -> int:
        """Number of features that φ makes from these channels: rows of a head's matrix."""
        raise NotImplementedError


@dataclasses.dataclass(unsafe_hash=True)
class LinearAttentionConfig(FeatureConfig):
    """A sum over the values of all tokens so far, weighted by φ(q)·φ(k)."""

    card: ClassVar[Card] = Card(
        equation="S_t = S_{t-1} + φ(k_t) v_tᵀ, z_t = z_{t-1} + φ(k_t); o_t = S_tᵀ φ(q_t) / z_t·φ(q_t)",
        decay="none",
        update="add",
        paper="Katharopoulos et al. 2020, arXiv:2006.16236",
        d_state="channels K of queries and keys; φ makes the rows from them",
    )

    d_state: int = 16
    """The size knob: channels K of a head's queries and keys, from which φ makes the rows."""
    feature_map: FeatureMap = FeatureMap.elu1
    """φ, one of the maps in `layers/feature_maps.py`."""
    dpfp_nu: int = 1
    """ν of dpfp, which produces 2 ν · d_state features."""
    max_positions: int = 2048
    """M of cosformer, whose weights reach zero M tokens apart; longer sequences are rejected."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("d_state", "dpfp_nu", "max_positions"):
            check_at_least(f"mixer.{key}", getattr(self, key), 1)

    @property
    def channels(self) -> int:
        return self.d_state

    @property
    def num_features(self) -> int:
        match self.feature_map:
            case FeatureMap.dpfp:
                return 2 * self.dpfp_nu * self.d_state
            case FeatureMap.hedgehog | FeatureMap.cosformer:
                return 2 * self.d_state
            case FeatureMap.taylor:
                return 1 + self.d_state + self.d_state * (self.d_state + 1) // 2
            case _:
                return self.d_state

    def check_length(self, length: int) -> None:
        """The weights of cosformer would become negative beyond `max_positions`."""
        if self.feature_map is FeatureMap.cosformer and length > self.max_positions:
            raise ValueError(
                f"mixer.max_positions={self.max_positions} is the longest sequence that cosformer allows, "
                f"got {length} tokens"
            )


@dataclasses.dataclass(unsafe_hash=True)
class PerformerConfig(FeatureConfig):
    """Linear attention with FAVOR+, whose weights are random estimates of softmax attention's.

    There is no `d_state`: the state has one row per random feature, so the size knob is `favor_features`.
    """

    card: ClassVar[Card] = Card(
        equation="linear attention with φ_j(x) = exp(w_j·x / K^¼ - |x|² / 2√K), w_j random and orthogonal",
        decay="none",
        update="add",
        paper="Choromanski et al. 2021, arXiv:2009.14794",
    )

    key_dim: int = 16
    """Channels K of a head's queries and keys, which do not affect the size of the state."""
    favor_features: int = 64
    """The size knob: random features, each a row of a head's matrix."""
    favor_seed: int = 0
    """Seed of the random features, which are not trained."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("key_dim", "favor_features"):
            check_at_least(f"mixer.{key}", getattr(self, key), 1)
        if not self.normalize:
            raise ValueError(
                "mixer.normalize=false is not possible with mixer=performer, which knows the features of a query "
                "up to a factor only: use true"
            )

    @property
    def channels(self) -> int:
        return self.key_dim

    @property
    def num_features(self) -> int:
        return self.favor_features


@dataclasses.dataclass(unsafe_hash=True)
class BasedConfig(LinearAttentionConfig):
    """Linear attention whose weights are the second-order Taylor series of softmax attention's."""

    card: ClassVar[Card] = Card(
        equation="linear attention with φ(q)·φ(k) = 1 + s + s²/2, s = q·k / √K",
        decay="none",
        update="add",
        paper="Arora et al. 2024, arXiv:2402.18668",
        d_state="channels K of queries and keys; 1 + K + K(K+1)/2 rows",
    )

    feature_map: FeatureMap = FeatureMap.taylor


class LinearAttentionState(NamedTuple):
    """The memory, whose last column is z if the mixer normalises, and the position, which only cosformer needs."""

    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]
    position: Annotated[Int[Array, ""], StateKind.counter] | None


class LinearAttention(Mixer):
    """Linear attention. Decode state: a `LinearAttentionState`."""

    config: LinearAttentionConfig | PerformerConfig

    def __init__(
        self, config: LinearAttentionConfig | PerformerConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike
    ):
        self.config = config
        self.rows, self.columns = config.num_features, d_model // config.num_heads + config.normalize
        heads, channels = config.num_heads, config.channels
        self.q = Dense(d_model, heads * channels, rngs=rngs)
        self.k = Dense(d_model, heads * channels, rngs=rngs)
        self.v = Dense(d_model, d_model, rngs=rngs)
        self.out = Dense(d_model, d_model, rngs=rngs)
        self.feature_map = config.feature_map if isinstance(config, LinearAttentionConfig) else None
        learned = self.feature_map is FeatureMap.hedgehog
        self.q_map = Hedgehog(heads, channels) if learned else None
        self.k_map = Hedgehog(heads, channels) if learned else None

    def init_state(self, batch_size: int, max_len: int) -> LinearAttentionState:
        self.config.check_length(max_len)
        counts = self.feature_map is FeatureMap.cosformer
        return LinearAttentionState(
            memory=jnp.zeros((batch_size, self.config.num_heads, self.rows, self.columns), jnp.float32),
            position=jnp.zeros((), jnp.int32) if counts else None,
        )

    def prefill(self, x: Activations, state: LinearAttentionState) -> tuple[Activations, LinearAttentionState]:
        heads = (*x.shape[:2], self.config.num_heads, -1)
        q, k = self._features(self.q(x).reshape(heads), self.k(x).reshape(heads), state.position)
        v = tap_values(self.v(x).reshape(heads))
        if self.config.normalize:
            v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1)
        read, memory = gated_linear_attention(q, k, v, initial_state=state.memory, **self.config.scan_options)
        if self.config.normalize:
            read = self._normalize(read[..., :-1], read[..., -1:])
        position = None if state.position is None else state.position + x.shape[1]
        return self.out(tap_read(read).reshape(x.shape)), LinearAttentionState(memory, position)

    def _features(
        self, q: Float[Array, "B T H I"], k: Float[Array, "B T H I"], position: Int[Array, ""] | None
    ) -> tuple[Float[Array, "B T H K"], Float[Array, "B T H K"]]:
        config = self.config
        if isinstance(config, PerformerConfig):
            drawn = feature_maps.favor_directions(
                config.favor_seed, config.num_heads, config.favor_features, config.key_dim
            )
            directions = jnp.asarray(drawn)
            return feature_maps.favor_queries(q, directions), feature_maps.favor_keys(k, directions)
        if self.q_map is not None and self.k_map is not None:
            return self.q_map(q), self.k_map(k)
        if position is not None:
            positions = position + jnp.arange(q.shape[1])
            q, k = (feature_maps.cosformer(x, positions, config.max_positions) for x in (q, k))
            return q, k
        match config.feature_map:
            case FeatureMap.dpfp:
                return feature_maps.dpfp(q, config.dpfp_nu), feature_maps.dpfp(k, config.dpfp_nu)
            case FeatureMap.taylor:
                return feature_maps.taylor(q), feature_maps.taylor(k)
        elementwise = ELEMENTWISE[config.feature_map]
        return elementwise(q), elementwise(k)

    def _normalize(
        self, read: Float[Array, "B T H V"], weights: Float[Array, "B T H 1"]
    ) -> Float[Array, "B T H V"]:
        """Divides by the sum of the weights, kept away from zero."""
        if self.feature_map in SIGNED:
            return read / jnp.maximum(jnp.abs(weights), 1.0)
        return read / (weights + EPSILON)


FeatureConfig.mixer = LinearAttention
