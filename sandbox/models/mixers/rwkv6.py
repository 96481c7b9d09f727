"""Time mixing of RWKV-6, "Finch" (Peng et al. 2024, arXiv:2404.05892, section 4.2).

This is RWKV-5 (see `rwkv5`) with a token shift and decays that depend on the data through low-rank maps:

    S_t = diag(γ_t) S_{t-1} + k_t v_tᵀ        γ_t = exp(-exp(decay + tanh(x^w_t A) B)), [B, T, H, K]

The token shift is the "ddlerp" of `token_shift`. Initial values are those of RWKV-5, with A = 0 and B uniform in
±0.01, as in the official code (`RWKV-v5/src/model.py`, x060). Its ranks, 32 and 64, are the defaults here too,
though they are large for a width of 64.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sandbox.models.layers.dense import LowRank
from sandbox.models.layers.gates import biased_logits
from sandbox.models.layers.parameters import uniform_within
from sandbox.models.layers.rwkv import BonusTimeMixing, initial_shares
from sandbox.models.layers.token_shift import DataDependentTokenShift, previous_share
from sandbox.models.mixer import Card, MatrixMemoryConfig
from sandbox.option_checks import check_at_least
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class RWKV6Config(MatrixMemoryConfig):
    """Options of RWKV-6: RWKV-5 with a token shift and decays that depend on the data."""

    card: ClassVar[Card] = Card(
        equation="S_t = diag(γ_t) S_{t-1} + k_t v_tᵀ; o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ r_t",
        decay="data-dependent, per channel",
        update="add",
        paper="Peng et al. 2024, arXiv:2404.05892",
        d_state="rows K of each head's matrix",
    )

    shift_rank: int = 32
    """Rank of the maps from the data to the token shift, one map per mixture."""
    decay_rank: int = 64
    """Rank of the map from the data to the decays."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.shift_rank", self.shift_rank, 1)
        check_at_least("mixer.decay_rank", self.decay_rank, 1)


class RWKV6(BonusTimeMixing):
    """The time mixing of RWKV-6; its decode state is a `ShiftedState`."""

    config: RWKV6Config

    def __init__(self, config: RWKV6Config, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        super().__init__(config, d_model, rngs=rngs, dtype=dtype)
        share = previous_share(d_model)
        self.shift = DataDependentTokenShift(
            *initial_shares(d_model), share, first=share, rank=config.shift_rank, rngs=rngs
        )
        self.decay_from_x = LowRank(
            d_model,
            config.decay_rank,
            config.num_heads * config.d_state,
            activation=jnp.tanh,
            down_init=nnx.initializers.zeros,
            up_init=uniform_within(0.01),
            rngs=rngs,
        )

    def _log_decay(self, others: list[Activations]) -> Float[Array, "B T H K"]:
        (xw,) = others
        return -jnp.exp(biased_logits(self.decay_from_x(xw), self.decay))


RWKV6Config.mixer = RWKV6
