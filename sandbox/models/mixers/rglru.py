"""The recurrent block of Griffin and Hawk, with the RG-LRU (De et al. 2024, arXiv:2402.19427, sections 2.3, 2.4).

    g_t = gelu(x_t W_g + b_g)                      the gate branch, N = d_state channels
    u_t = Σ_{i<W} w_i ⊙ (x W_u + b_u)_{t-i} + b    the other branch: a short convolution, then the RG-LRU
    r_t = σ(u_t W_r + b_r),   i_t = σ(u_t W_i + b_i)         block-diagonal, one block per head
    log a_t = -8 softplus(Λ) ⊙ r_t
    h_t = a_t ⊙ h_{t-1} + sqrt(1 - a_t²) ⊙ (i_t ⊙ u_t)       h [N]
    o_t = (g_t ⊙ h_t) W_o + b_o

Initial values are those of the official code (`recurrentgemma/jax`): exp(-softplus(Λ)) is distributed as the
radius of a uniform point in the ring 0.9..0.999, W_r and W_i are normal with variance 1 / fan-in (of one block, as
in `recurrentgemma/torch`; the JAX code counts all blocks), convolution weights normal with variance 0.01 / W, and
biases zero. That code departs from the paper in two ways: it replaces sqrt(1 - a²) by 1 at the first position of a
document, and clips the derivative of the square root at 1000. Here every position follows the equation, and
1 - a² is at least 2.5e-7, where that derivative is 1000.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.mixer import Card, Mixer, ScanConfig, UnitsConfig
from sandbox.option_checks import check_at_least, check_divides
from sandbox.scans import diagonal_scan
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind


@dataclasses.dataclass(unsafe_hash=True)
class RGLRUConfig(UnitsConfig, ScanConfig):
    """Options of the RG-LRU block: real units with data-dependent decays, a short convolution and a gate."""

    card: ClassVar[Card] = Card(
        equation="h_t = a_t ⊙ h_{t-1} + sqrt(1 - a_t²) ⊙ (i_t ⊙ x_t); log a_t = -8 softplus(Λ) ⊙ r_t",
        decay="data-dependent, per unit",
        update="add",
        paper="De et al. 2024, arXiv:2402.19427",
        d_state="channels N of the recurrence",
    )

    num_heads: int = 1
    """Number of diagonal blocks in the weights of the two gates."""
    conv_width: int = 4
    """Width W of the short convolution in tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.num_heads", self.num_heads, 1)
        check_at_least("mixer.conv_width", self.conv_width, 1)

    def check_width(self, d_model: int) -> None:
        whole = "model.d_model" if self.d_state is None else "mixer.d_state"
        check_divides("mixer.num_heads", self.num_heads, whole, self.units(d_model))


class RGLRUState(NamedTuple):
    """The units, and the window of the short convolution."""

    units: Annotated[Float[Array, "B E"], StateKind.memory]
    conv: Annotated[Float[Array, "B S E"], StateKind.convolution]


class BlockDense(nnx.Module):
    """y = x W + b with a block-diagonal W: each block maps its own slice of the channels."""

    def __init__(self, channels: int, blocks: int, *, rngs: nnx.Rngs):
        width = channels // blocks
        draw = nnx.initializers.variance_scaling(1.0, "fan_in", "normal", batch_axis=0)
        self.kernel = nnx.Param(draw(rngs.params(), (blocks, width, width), jnp.float32))
        self.bias = NoWeightDecay(jnp.zeros((blocks, width), jnp.float32))

    def __call__(self, x: Float[Array, "B T E"]) -> Float[Array, "B T E"]:
        blocks = x.reshape(*x.shape[:2], self.kernel.shape[0], -1)
        y = jnp.einsum("bthi,hio->btho", blocks, self.kernel[...].astype(x.dtype))
        return (y + self.bias[...].astype(x.dtype)).reshape(x.shape)


class RGLRU(Mixer):
    """The recurrent block of Griffin; its decode state is an `RGLRUState`."""

    config: RGLRUConfig

    def __init__(self, config: RGLRUConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.units = units = config.units(d_model)
        self.gate = Dense(d_model, units, use_bias=True, rngs=rngs)
        self.project = Dense(d_model, units, use_bias=True, rngs=rngs)
        self.conv = CausalConv(units, config.conv_width, rngs=rngs)
        std = 0.1 * config.conv_width**-0.5
        self.conv.kernel[...] = std * jax.random.normal(rngs.params(), self.conv.kernel.shape)
        self.conv.bias = NoWeightDecay(jnp.zeros((units,), jnp.float32))
        self.input_gate = BlockDense(units, config.num_heads, rngs=rngs)
        self.recurrence_gate = BlockDense(units, config.num_heads, rngs=rngs)
        squared_decays = jax.random.uniform(rngs.params(), (units,), jnp.float32, 0.9**2, 0.999**2)
        # The inverse of softplus(Λ) = -log(decay).
        self.rate = NoWeightDecay(jnp.log(jnp.expm1(-0.5 * jnp.log(squared_decays))))
        self.out = Dense(units, d_model, use_bias=True, rngs=rngs)
        self.dtype = dtype

    def init_state(self, batch_size: int, max_len: int) -> RGLRUState:
        return RGLRUState(
            units=jnp.zeros((batch_size, self.units), jnp.float32),
            conv=self.conv.init_state(batch_size, self.dtype),
        )

    def prefill(self, x: Activations, state: RGLRUState) -> tuple[Activations, RGLRUState]:
        u, window = self.conv.prefill(self.project(x), state.conv)
        recurrence_gate = jax.nn.sigmoid(self.recurrence_gate(u).astype(jnp.float32))
        input_gate = jax.nn.sigmoid(self.input_gate(u).astype(jnp.float32))
        rate = jax.nn.softplus(self.rate[...])
        log_decay = -8.0 * recurrence_gate * rate
        scale = jnp.sqrt(jnp.maximum(-jnp.expm1(2 * log_decay), 2.5e-7))
        h, units = diagonal_scan(
            jnp.exp(log_decay), scale * input_gate * u, initial_state=state.units, **self.config.scan_options
        )
        return self.out(h.astype(x.dtype) * jax.nn.gelu(self.gate(x))), RGLRUState(units, window)


RGLRUConfig.mixer = RGLRU
