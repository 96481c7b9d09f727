"""H3, hungry hungry hippos (Fu et al. 2023, arXiv:2212.14052, section 3 and algorithm 1).

    q, k, v = x W_q + b_q, x W_k + b_k, x W_v + b_v
    k̃_t = Σ_{i<N} c_i ⊙ k_{t-i} + D_k ⊙ k_t       the shift SSM: its state is the last inputs, which c reads
    y_t = SSM(k̃ ⊗ v)_t                            the diagonal SSM, on each of the P × P products of a head
    o_t = (q_t · y_t) W_o + b_o                    per head: Σ_i q_i y_ij

The diagonal SSM is S4D's (`sandbox.models.mixers.s4d`) with its skip but no channel mixing, initialised as S4D-Lin
and discretised by the bilinear rule; all products of a head share its parameters. With P = 1, the default of the
official code, this is q ⊙ SSM(k̃ ⊙ v), which keeps one product per channel; figure 2 of Zoology has P = 2. Training
computes both SSMs as convolutions.

`d_state` is N of both SSMs. The state holds N - 1 keys per channel and N floats (N/2 complex modes) per product of
a head. The official code (safari, `src/models/sequence/h3.py`) carries N keys, the current one included; Zoology
counts D · N in all.

As in the official code, c starts uniform in ±N^-1/2 and both skips standard normal. That code also trains the
input vector of the shift SSM and B of the diagonal one; here they stay e₁ and 1, which loses nothing as c and C
are trained.
"""

import dataclasses
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.convolution import CausalConv, long_convolution
from sandbox.models.layers.dense import Dense
from sandbox.models.layers.diagonal_ssm import DiagonalSSM, Discretization, Initialization, check_even_d_state
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.mixer import Card, Mixer, ScanConfig
from sandbox.models.segments import open_segments
from sandbox.option_checks import check_at_least, check_divides
from sandbox.shapes import Activations
from sandbox.state_kinds import StateKind
from sandbox.taps import tap_read, tap_values


@dataclasses.dataclass(unsafe_hash=True)
class H3Config(ScanConfig):
    """A window over keys, and complex modes that accumulate products of keys and values."""

    card: ClassVar[Card] = Card(
        equation="y_t = q_t ⊙ SSM_diag(SSM_shift(k) ⊙ v)_t",
        decay="learned, complex, per head and mode",
        update="add",
        paper="Fu et al. 2023, arXiv:2212.14052",
        d_state="floats N per channel and product of a head",
    )

    d_state: int = 64
    """The size knob: floats N per channel (the window of keys) and per product of a head (its modes)."""
    head_dim: int = 1
    """Channels P of a head, whose memory holds P · P products."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_even_d_state(self.d_state)
        check_at_least("mixer.head_dim", self.head_dim, 1)

    def check_width(self, d_model: int) -> None:
        check_divides("mixer.head_dim", self.head_dim, "model.d_model", d_model)


class H3State(NamedTuple):
    """The modes of each of the P · P products of a head, and the window over keys."""

    memory: Annotated[Float[Array, "B I H N"], StateKind.memory]
    conv: Annotated[Float[Array, "B S D"], StateKind.convolution]


class H3(Mixer):
    """A shift SSM and a diagonal SSM. Decode state: an `H3State`."""

    config: H3Config

    def __init__(self, config: H3Config, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.num_heads = d_model // config.head_dim
        self.qkv = Dense(d_model, 3 * d_model, use_bias=True, rngs=rngs)
        self.shift = CausalConv(d_model, config.d_state, use_bias=False, rngs=rngs)
        self.shift_skip = NoWeightDecay(jax.random.normal(rngs.params(), (d_model,)))
        self.ssm = DiagonalSSM(
            self.num_heads,
            config.d_state,
            initialization=Initialization.lin,
            discretization=Discretization.bilinear,
            rngs=rngs,
        )
        self.out = Dense(d_model, d_model, use_bias=True, rngs=rngs)
        self.dtype = dtype

    def __call__(self, x: Activations) -> Activations:
        if self.config.implementation != "auto" or open_segments() is not None:
            return super().__call__(x)
        q, k, v = jnp.split(self.qkv(x), 3, axis=-1)
        v, length = tap_values(v), x.shape[1]
        taps = self.shift.kernel[:length]
        shifted = long_convolution(k, jnp.pad(taps, ((0, length - taps.shape[0]), (0, 0))))
        return self._read(q, self.ssm(self._products(k, shifted, v)))

    def init_state(self, batch_size: int, max_len: int) -> H3State:
        products = self.config.head_dim**2
        memory = self.ssm.init_state(batch_size * products)
        return H3State(
            memory=memory.reshape(batch_size, products, *memory.shape[1:]),
            conv=self.shift.init_state(batch_size, self.dtype),
        )

    def prefill(self, x: Activations, state: H3State) -> tuple[Activations, H3State]:
        q, k, v = jnp.split(self.qkv(x), 3, axis=-1)
        v = tap_values(v)
        shifted, window = self.shift.prefill(k, state.conv)
        memory = state.memory.reshape(-1, *state.memory.shape[2:])
        options, products = self.config.scan_options, self.config.head_dim**2
        if (ids := open_segments()) is not None:
            options["segment_ids"] = jnp.repeat(ids, products, axis=0)
        y, memory = self.ssm.prefill(self._products(k, shifted, v), memory, **options)
        return self._read(q, y), H3State(memory.reshape(state.memory.shape), window)

    def _products(self, k: Activations, shifted: Activations, v: Activations) -> Float[Array, "I T H"]:
        """The products k̃_i v_j of each head; the batch axis absorbs the P · P pairs (i, j)."""
        k = shifted + k * self.shift_skip[...].astype(k.dtype)
        heads = (*k.shape[:2], self.num_heads, -1)
        products = jnp.einsum("bthi,bthj->bijth", k.reshape(heads), v.reshape(heads))
        return products.reshape(-1, *products.shape[3:])

    def _read(self, q: Activations, y: Float[Array, "I T H"]) -> Activations:
        """Σ_i q_i y_ij of each head, through the output projection."""
        width = self.config.head_dim
        q = q.reshape(*q.shape[:2], self.num_heads, width)
        y = y.reshape(q.shape[0], width, width, *y.shape[1:])
        return self.out(tap_read(jnp.einsum("bthi,bijth->bthj", q, y)).reshape(*q.shape[:2], -1))


H3Config.mixer = H3
