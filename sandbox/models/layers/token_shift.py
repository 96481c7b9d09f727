"""RWKV's token shift: a layer sees each token mixed with the one before it, in its own proportion for each use.

    x^i_t = x_t + μ_i ⊙ (x_{t-1} - x_t)                                              RWKV-4, 5 and 7
    x^i_t = x_t + (μ_i + tanh(z_t A_i) B_i) ⊙ (x_{t-1} - x_t) ,
      z_t = x_t + μ_x ⊙ (x_{t-1} - x_t)                                              RWKV-6 ("ddlerp")

with x_0 = 0 and one i for the receptance, one for the keys, and so on. Sources: RWKV-4 (arXiv:2305.13048, section
3.1), RWKV-5 and 6 (arXiv:2404.05892, sections 4.1 and 4.2), RWKV-7 (arXiv:2503.14456, section 4). μ is the share
of the token before; the code of RWKV-4 and 5 keeps 1 - μ.

RWKV starts each layer at values of its own. A mixer here does not know which layer it is: all start at those of a
layer in the middle of a deep model, `HALFWAY`. Output projections of time mixing start at zero there, and as every
`Dense` here: a fresh mixer already lets its memory through.
"""

from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.parameters import NoWeightDecay, uniform_within
from sandbox.models.mixer import State
from sandbox.shapes import Activations, Token
from sandbox.state_kinds import StateKind

HALFWAY = 0.5
"""l / (L - 1), and 1 - l / L, of layer l in the middle of L, on which initial values depend."""


class ShiftedState(NamedTuple):
    """The memory of a mixer with a token shift, and the last token of its input."""

    memory: State
    last_token: Annotated[Token, StateKind.token_shift]


def previous_share(d_model: int, exponent: float = 1.0) -> np.ndarray:
    """A μ to start from: 1 - (i / D)^(exponent · HALFWAY) for channel i. The first has the token before alone."""
    return 1 - (np.arange(d_model) / d_model) ** (exponent * HALFWAY)


class TokenShift(nnx.Module):
    """One mixture of each token with the one before for each row of `shares`, which are learned."""

    def __init__(self, *shares: np.ndarray):
        self.shares = NoWeightDecay(jnp.asarray(np.stack(shares), jnp.float32))

    def __call__(self, x: Activations, last_token: Token) -> tuple[list[Activations], Token]:
        """The mixtures, and the last token, to be carried."""
        difference = _difference(x, last_token)
        mixtures = [_mix(x, difference, share) for share in self.shares[...]]
        return mixtures, x[:, -1].astype(last_token.dtype)


class DataDependentTokenShift(TokenShift):
    """The same, where each share has a part that depends on the data through `rank` channels.

    It starts at zero, by A = 0; B is uniform in ±0.01.
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
    """The token before, less the token."""
    return jnp.concatenate([last_token[:, None].astype(x.dtype), x[:, :-1]], axis=1) - x


def _mix(x: Activations, difference: Activations, share: Float[Array, "D"]) -> Activations:
    return x + difference * share.astype(x.dtype)
