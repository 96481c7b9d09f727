"""RWKV's token shift: mixes each token with the previous one, in learned shares that differ per use.

    x^i_t = x_t + μ_i ⊙ (x_{t-1} - x_t)                                              RWKV-4, 5 and 7
    x^i_t = x_t + (μ_i + tanh(z_t A_i) B_i) ⊙ (x_{t-1} - x_t) ,
      z_t = x_t + μ_x ⊙ (x_{t-1} - x_t)                                              RWKV-6 ("ddlerp")

with x_0 = 0, and i for the receptance, the keys, and so on. Sources: RWKV-4 (arXiv:2305.13048, section
3.1), RWKV-5 and 6 (arXiv:2404.05892, sections 4.1 and 4.2), RWKV-7 (arXiv:2503.14456, section 4). μ is the share
of the previous token; the code of RWKV-4 and 5 stores 1 - μ.

RWKV's initial values depend on the layer; here all mixers start like the middle layer of a deep model. RWKV starts
output projections of time mixing at zero; here they use the default of `Dense`, so that a new mixer has an output.
"""

from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import NoWeightDecay, uniform_within
from sandbox.models.mixer import State
from sandbox.models.segments import token_before
from sandbox.shapes import Activations, Token
from sandbox.state_kinds import StateKind

HALFWAY = 0.5
"""Value of both l / (L - 1) and 1 - l / L, on which initial values depend, for the middle layer l of L."""


class ShiftedState(NamedTuple):
    """The memory of a mixer with a token shift, and its last input."""

    memory: Annotated[State, StateKind.memory]
    last_token: Annotated[Token, StateKind.token_shift]


def previous_share(d_model: int, exponent: float = 1.0) -> np.ndarray:
    """Initial μ: 1 - (i / D)^(exponent · HALFWAY) for channel i = 0 … D - 1."""
    return 1 - (np.arange(d_model) / d_model) ** (exponent * HALFWAY)


class TokenShift(nnx.Module):
    """Mixes each token with the previous one, once for each of the learned vectors `shares`."""

    def __init__(self, *shares: np.ndarray):
        self.shares = NoWeightDecay(jnp.asarray(np.stack(shares), jnp.float32))

    def __call__(self, x: Activations, last_token: Token) -> tuple[list[Activations], Token]:
        """The mixtures and the last token."""
        difference = _difference(x, last_token)
        mixtures = [_mix(x, difference, share) for share in self.shares[...]]
        return mixtures, x[:, -1].astype(last_token.dtype)


class DataDependentTokenShift(TokenShift):
    """A token shift whose shares also depend on the data, through `rank` channels.

    The data-dependent part starts at zero: A = 0, and B is uniform within ±0.01.
    """

    def __init__(self, *shares: np.ndarray, first: np.ndarray, rank: int, rngs: nnx.Rngs):
        super().__init__(*shares)
        count, d_model = self.shares.shape
        self.first = NoWeightDecay(jnp.asarray(first, jnp.float32))
        self.down = Dense(d_model, count * rank, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.up = nnx.Param(uniform_within(0.01)(rngs.params(), (count, rank, d_model), jnp.float32))

    def __call__(self, x: Activations, last_token: Token) -> tuple[list[Activations], Token]:
        difference = _difference(x, last_token)
        low = jnp.tanh(self.down(_mix(x, difference, self.first[...])))
        mixtures = [
            _mix(x, difference, share) + difference * (part @ up.astype(x.dtype))
            for share, part, up in zip(
                self.shares[...], jnp.split(low, len(self.up), axis=-1), self.up[...], strict=True
            )
        ]
        return mixtures, x[:, -1].astype(last_token.dtype)


def _difference(x: Activations, last_token: Token) -> Activations:
    return token_before(x, last_token) - x


def _mix(x: Activations, difference: Activations, share: Float[Array, "D"]) -> Activations:
    return x + difference * share.astype(x.dtype)
