"""The controlled mixer: an outer-product memory that varies along four axes while all else is held equal.

    S ← diag(γ_t) S_{t-1} ,   then the writes of token t:                                                `decay`
    S ← S + k vᵀ                                 update=add      (linear attention, RetNet, GLA)
    S ← S + β k (v - Sᵀ k)ᵀ                      update=delta    (DeltaNet, KDA), once
                                                 update=product  (DeltaProduct), `product_steps` times
    S ← S + k (β v - Sᵀ (b ⊙ k))ᵀ                erase=separate  (Gated DeltaNet-2): b gates what is erased
    S ← S + β k vᵀ                               erase=none
    o_t = Sᵀ q_t                                 β and b are σ(x_t W + c), per head and per row of each write

`eigenvalues` are those of a token's transition: positive; signed, where the β or b that erases is twice that, and
they reach -1 (Grazzi et al. 2024); or rotation, where q and k turn by Σ_{s≤t} π tanh(x_s W), each pair of rows by
its angle, as in Mamba-3: with a decay per head the memory turns itself, γ exp(±iω). That W starts at zero.

Options of an axis are nested, so a difference between two is due to what the larger one adds: one step of a
product is delta, b = β is `same` (if eigenvalues are positive), angles of zero are `positive`, and of the decays:

| decay | log γ_t | also in |
| --- | --- | --- |
| none | 0 | linear attention (Katharopoulos et al. 2020) |
| fixed | -log 2 / τ_h, τ_h the half-life of head h | RetNet (Sun et al. 2023, eq. 8) |
| learned_scalar | logsigmoid(b), b [H, 1], initialised to `fixed` | |
| learned_channel | logsigmoid(b), b [H, K] | RWKV-5 |
| data_scalar | logsigmoid(b + x_t W), b [H, 1] | Mamba-2, Gated DeltaNet |
| data_channel | logsigmoid(b + x_t W), b [H, K] | GLA, RWKV-6, KDA |
"""

import dataclasses
import enum
import math
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.feature_maps import ELEMENTWISE, FeatureMap
from sandbox.models.layers.gates import biased_logits
from sandbox.models.layers.norms import RMSNorm, l2_normalize
from sandbox.models.layers.parameters import NoWeightDecay, retention_decays
from sandbox.models.layers.rotary import rotate_by, turned_so_far
from sandbox.models.mixer import Card, MatrixMemoryConfig, Mixer
from sandbox.models.segments import open_segments
from sandbox.option_checks import check_at_least
from sandbox.scans import (
    at_first_step,
    gated_delta_rule,
    gated_linear_attention,
    generalized_delta_rule,
    one_after_the_other,
)
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values


class Decay(enum.Enum):
    """How the memory decays; the table in the module's docstring has the formulas."""

    none = "none"
    fixed = "fixed"
    learned_scalar = "learned_scalar"
    learned_channel = "learned_channel"
    data_scalar = "data_scalar"
    data_channel = "data_channel"


class Update(enum.Enum):
    """How a token writes: adding, replacing what its key recalls (delta rule), or replacing several times."""

    add = "add"
    delta = "delta"
    product = "product"


class Erase(enum.Enum):
    """What the delta rule erases with: the key, the key under gates of its own, or nothing."""

    same = "same"
    separate = "separate"
    none = "none"


class Eigenvalues(enum.Enum):
    """Of the transition of a token: those that are positive, down to -1, or complex."""

    positive = "positive"
    signed = "signed"
    rotation = "rotation"


@dataclasses.dataclass(unsafe_hash=True)
class OuterConfig(MatrixMemoryConfig):
    """Options of the controlled mixer, whose heads each keep a matrix of `d_state` by `d_model / num_heads`."""

    card: ClassVar[Card] = Card(
        equation="S_t = diag(γ_t) S_{t-1} + k_t v_tᵀ, or by the delta rule; o_t = S_tᵀ q_t",
        decay="a knob: none; fixed; learned or data-dependent, per head or per channel",
        update="knobs: add, delta rule, once or n times; what it erases; whether rows turn",
        paper="the controlled experiment of this project",
        d_state="rows K of each head's matrix",
    )

    num_heads: int = 1
    decay: Decay = Decay.none
    half_life: float | None = None
    """Half-life in tokens at which every decay begins, of the first head; each further head's is twice as long.
    None: RetNet's decays 1 - 2^(-5-h), which is 21.8 tokens for the first head."""
    update: Update = Update.add
    product_steps: int = 2
    """Steps n of the delta rule for each token with `update=product`."""
    erase: Erase = Erase.same
    """What the delta rule erases with."""
    eigenvalues: Eigenvalues = Eigenvalues.positive
    """Of the transition of a token; the rows of memory turn in pairs with `rotation`."""
    feature_map: FeatureMap = FeatureMap.identity
    """Feature map of queries and keys: an elementwise one."""
    normalize_qk: bool = True
    """Whether to scale queries and keys to norm 1 after the feature map. The delta rule is unstable without it."""
    short_conv: int = 0
    """Width in tokens of a causal convolution over queries, keys and values; 0: none."""
    output_norm: bool = True
    """Whether to RMS-normalise the output of each head."""
    output_gate: bool = False
    """Whether to multiply the output of the heads by silu(x W)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.short_conv", self.short_conv, 0)
        if self.half_life is not None and not 0 < self.half_life < math.inf:
            raise ValueError(f"mixer.half_life={self.half_life} must be a positive number of tokens, or null")
        if self.feature_map not in ELEMENTWISE:
            allowed = ", ".join(feature_map.name for feature_map in ELEMENTWISE)
            raise ValueError(f"mixer.feature_map={self.feature_map.name} must be one of {allowed}")
        self._check_axes()

    def _check_axes(self) -> None:
        """Raises ValueError for options that mean nothing together."""
        update, erases = self.update.name, self.update is not Update.add and self.erase is not Erase.none
        check_at_least("mixer.product_steps", self.product_steps, 1)
        if erases and not self.normalize_qk:
            raise ValueError(f"mixer.normalize_qk=false is unstable with mixer.update={update}: use true")
        if self.update is not Update.product and self.product_steps != type(self).product_steps:
            raise ValueError(f"mixer.product_steps={self.product_steps} needs mixer.update=product, not {update}")
        if self.update is Update.add and self.erase is not Erase.same:
            raise ValueError(f"mixer.erase={self.erase.name} needs mixer.update=delta or product, not add")
        if self.eigenvalues is Eigenvalues.signed and not erases:
            setting = f"mixer.update={update} mixer.erase={self.erase.name}"
            raise ValueError(f"mixer.eigenvalues=signed needs a write that erases, got {setting}")
        if self.eigenvalues is Eigenvalues.rotation and self.d_state % 2:
            raise ValueError(
                f"mixer.eigenvalues=rotation turns pairs of rows: mixer.d_state={self.d_state} is odd"
            )

    @property
    def writes_per_token(self) -> int:
        """Pairs of a key and a value that each token writes, one after the other."""
        return self.product_steps if self.update is Update.product else 1

    @property
    def first_log_decays(self) -> np.ndarray:
        """The log of the decay of each head at the start, [H]."""
        if self.half_life is None:
            return np.log(retention_decays(self.num_heads))
        return -math.log(2) / (self.half_life * 2.0 ** np.arange(self.num_heads))


class OuterState(NamedTuple):
    """The matrices of all heads; the window of the short convolution and the angles of pairs of rows, if any."""

    memory: Annotated[Float[Array, "B H K V"], StateKind.memory]
    conv: Annotated[Float[Array, "B S O"], StateKind.convolution] | None
    angle: Annotated[Float[Array, "B H A"], StateKind.memory] | None


class Outer(Mixer):
    """The controlled mixer; its decode state is an `OuterState`."""

    config: OuterConfig

    def __init__(self, config: OuterConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        heads, rows, writes = config.num_heads, config.d_state, config.writes_per_token
        self.rows, self.columns = rows, d_model // heads
        channels = heads * rows + writes * heads * (rows + self.columns)
        self.qkv = Dense(d_model, channels, rngs=rngs)
        self.conv = CausalConv(channels, config.short_conv, rngs=rngs) if config.short_conv else None
        bias, from_x = None, None
        if config.decay not in (Decay.none, Decay.fixed):
            rates = rows if config.decay in (Decay.learned_channel, Decay.data_channel) else 1
            log_decays = np.broadcast_to(config.first_log_decays[:, None], (heads, rates))
            bias = NoWeightDecay(jnp.asarray(log_decays - np.log(-np.expm1(log_decays)), jnp.float32))
            if config.decay in (Decay.data_scalar, Decay.data_channel):
                from_x = Dense(d_model, heads * rates, rngs=rngs)
        self.decay_bias = bias
        self.decay_from_x = from_x
        adds = config.update is Update.add
        self.beta = None if adds else Dense(d_model, writes * heads, use_bias=True, rngs=rngs)
        self.norm = RMSNorm(self.columns) if config.output_norm else None
        self.gate = Dense(d_model, d_model, rngs=rngs) if config.output_gate else None
        self.out = Dense(d_model, d_model, rngs=rngs)
        # After the parameters of all variants, which so start alike.
        separate, turns = config.erase is Erase.separate, config.eigenvalues is Eigenvalues.rotation
        self.erase = Dense(d_model, writes * heads * rows, use_bias=True, rngs=rngs) if separate else None
        still = nnx.initializers.zeros
        self.turn = Dense(d_model, heads * rows // 2, kernel_init=still, rngs=rngs) if turns else None
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> OuterState:
        heads = (batch_size, self.config.num_heads)
        return OuterState(
            memory=jnp.zeros((*heads, self.rows, self.columns), jnp.float32),
            conv=None if self.conv is None else self.conv.init_state(batch_size, self.dtype),
            angle=None if self.turn is None else jnp.zeros((*heads, self.rows // 2), jnp.float32),
        )

    def prefill(self, x: Activations, state: OuterState) -> tuple[Activations, OuterState]:
        qkv, window = self.qkv(x), state.conv
        if self.conv is not None and window is not None:
            qkv, window = self.conv.prefill(qkv, window)
        read, memory, angle = self._remember(x, qkv, state)
        if self.norm is not None:
            read = self.norm(read)
        read = read.reshape(x.shape)
        if self.gate is not None:
            read = read * jax.nn.silu(self.gate(x))
        return self.out(read), OuterState(memory, window, angle)

    def _remember(
        self, x: Activations, qkv: Float[Array, "B T O"], state: OuterState
    ) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"], Float[Array, "B H A"] | None]:
        """What each query reads, the memory after it and the last angles; each write is a token of the scan."""
        config, writes, by_token = self.config, self.config.writes_per_token, x.shape[:2]
        keys = config.num_heads * self.rows
        q, k, v = jnp.split(qkv, [keys, (1 + writes) * keys], axis=-1)
        q, k = (self._features(part.reshape(*by_token, -1, config.num_heads, self.rows)) for part in (q, k))
        erased, angle = self._erased(x, k), state.angle
        if self.turn is not None and angle is not None:
            turns = math.pi * jnp.tanh(self.turn(x).astype(jnp.float32))
            angles, angle = turned_so_far(turns.reshape(*by_token, *angle.shape[1:]), angle)
            q, k = (rotate_by(part, angles[:, :, None]) for part in (q, k))
            erased = None if erased is None else rotate_by(erased, angles[:, :, None])
        log_decay = at_first_step(self._log_decay(x), k)
        q, k = one_after_the_other(q, before=writes - 1), one_after_the_other(k)
        v = one_after_the_other(tap_values(v.reshape(*by_token, writes, config.num_heads, self.columns)))
        beta = None if self.beta is None else jax.nn.sigmoid(self.beta(x).astype(jnp.float32)).reshape(v.shape[:3])
        scan: dict[str, Any] = config.scan_options | {"segment_ids": open_segments(steps=writes)}
        scan |= {"log_decay": log_decay, "initial_state": state.memory}
        if beta is not None and config.erase is Erase.same:
            beta = 2 * beta if config.eigenvalues is Eigenvalues.signed else beta
            read, memory = gated_delta_rule(q, k, v, beta, **scan)
        else:
            v = v if beta is None else beta[..., None].astype(v.dtype) * v
            if erased is None:
                read, memory = gated_linear_attention(q, k, v, **scan)
            else:
                kept = 1.0 if log_decay is None else jnp.exp(log_decay).astype(k.dtype)
                a = -one_after_the_other(erased) * kept  # of the memory before it decays
                read, memory = generalized_delta_rule(q, k, v, a=a, b=k, **scan)
        return tap_read(read[:, writes - 1 :: writes]), memory, angle

    def _erased(self, x: Activations, k: Float[Array, "B T N H K"]) -> Float[Array, "B T N H K"] | None:
        """Keys under gates of their own, with which a write erases. None: it follows from its key."""
        if self.erase is None:
            return None
        gates = jax.nn.sigmoid(self.erase(x).astype(jnp.float32)).reshape(k.shape)
        return (2 * gates if self.config.eigenvalues is Eigenvalues.signed else gates).astype(k.dtype) * k

    def _features(self, x: Float[Array, "B T N H K"]) -> Float[Array, "B T N H K"]:
        x = ELEMENTWISE[self.config.feature_map](x)
        return l2_normalize(x) if self.config.normalize_qk else x

    def _log_decay(self, x: Activations) -> Float[Array, "H R"] | Float[Array, "B T H R"] | None:
        """The natural log of the decay, per head (R = 1) or per row of the memory (R = K)."""
        if self.config.decay is Decay.none:
            return None
        if self.decay_bias is None:
            return jnp.asarray(self.config.first_log_decays[:, None], jnp.float32)
        if self.decay_from_x is None:
            return jax.nn.log_sigmoid(self.decay_bias[...])
        return jax.nn.log_sigmoid(biased_logits(self.decay_from_x(x), self.decay_bias))


OuterConfig.mixer = Outer
