"""mLSTM, the matrix memory of xLSTM (Beck et al. 2024, arXiv:2405.04517, section 2.3).

    C_t = σ(f_t) C_{t-1} + exp(i_t) k_t v_tᵀ ,   n_t = σ(f_t) n_{t-1} + exp(i_t) k_t
    h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, 1) ,   y_t = (σ(x_t W_O) ⊙ LayerNorm(h_t)) W

q is scaled by K^-1/2, and the layer norm treats each head by itself. This is the layer of xLSTM-7B (Beck et al.
2025, arXiv:2503.13427): it has the width of the model, whereas the block of the first paper projects up, convolves
and adds a skip connection. Its gates are capped: i_t = c tanh((x_t w_i + b_i) / c) with c = 15, f_t likewise.
As in the authors' training code (NX-AI/xlstm-jax, `xlstm_parallel/blocks/mlstm/layer_v1.py`), W_O = w_i = w_f = 0,
b_i = -10 and b_f from 3 to 6 over the heads at the start, and the weights of q, k and v are drawn from N(0, 2/5D).
The released code also adds 1e-6 to the divisor of h_t; this one does not.
"""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from sandbox.models.layers.dense import Dense
from sandbox.models.layers.norms import LayerNorm
from sandbox.models.layers.parameters import NoWeightDecay
from sandbox.models.mixer import Card, MatrixMemoryConfig, Mixer
from sandbox.option_checks import check_at_least
from sandbox.scans import MLSTMState, mlstm
from sandbox.shapes import Activations


@dataclasses.dataclass(unsafe_hash=True)
class MLSTMConfig(MatrixMemoryConfig):
    """Options of the mLSTM, a matrix memory with exponential input gates."""

    card: ClassVar[Card] = Card(
        equation="C_t = σ(f_t) C_{t-1} + exp(i_t) k_t v_tᵀ, n_t likewise; h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, 1)",
        decay="data-dependent, per head",
        update="add, by an exponential gate",
        paper="Beck et al. 2024, arXiv:2405.04517",
        d_state="rows K of each head's matrix",
    )

    input_gate_bias: float = -10.0
    """Initial value of b_i, the log of every input gate."""
    gate_cap: float = 15.0
    """Bound c on the absolute value of a gate before its exponential or sigmoid."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("mixer.gate_cap", self.gate_cap, 1)
        if not math.isfinite(self.input_gate_bias):
            raise ValueError(f"mixer.input_gate_bias={self.input_gate_bias} must be finite")


class MLSTM(Mixer):
    """The mLSTM layer; its decode state is an `MLSTMState`."""

    config: MLSTMConfig

    def __init__(self, config: MLSTMConfig, d_model: int, *, rngs: nnx.Rngs, dtype: DTypeLike):
        self.config = config
        self.rows, self.columns = config.d_state, d_model // config.num_heads
        small = nnx.initializers.normal((2 / (5 * d_model)) ** 0.5)
        keys = config.num_heads * config.d_state
        self.q = Dense(d_model, keys, kernel_init=small, rngs=rngs)
        self.k = Dense(d_model, keys, kernel_init=small, rngs=rngs)
        self.v = Dense(d_model, d_model, kernel_init=small, rngs=rngs)
        self.gates = Dense(d_model, 2 * config.num_heads, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.input_bias = NoWeightDecay(jnp.full((config.num_heads,), config.input_gate_bias))
        self.forget_bias = NoWeightDecay(jnp.linspace(3.0, 6.0, config.num_heads))
        self.norm = LayerNorm((config.num_heads, self.columns), use_bias=False, epsilon=1e-6)
        self.output_gate = Dense(d_model, d_model, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.out = Dense(d_model, d_model, rngs=rngs)

    def init_state(self, batch_size: int, max_len: int) -> MLSTMState:
        batch_and_heads = (batch_size, self.config.num_heads)
        return MLSTMState(
            memory=jnp.zeros((*batch_and_heads, self.rows, self.columns), jnp.float32),
            normalizer=jnp.zeros((*batch_and_heads, 1, self.rows), jnp.float32),
            stabilizer=jnp.zeros((*batch_and_heads, 1, 1), jnp.float32),
        )

    def prefill(self, x: Activations, state: MLSTMState) -> tuple[Activations, MLSTMState]:
        config, heads = self.config, (*x.shape[:2], self.config.num_heads, -1)
        q, k, v = self.q(x).reshape(heads), self.k(x).reshape(heads), self.v(x).reshape(heads)
        biases = jnp.concatenate([self.input_bias[...], self.forget_bias[...]])
        gates = self.gates(x).astype(jnp.float32) + biases[None, None]
        gates = config.gate_cap * jnp.tanh(gates / config.gate_cap)
        input_gate, forget_gate = jnp.split(gates, 2, axis=-1)
        read, state = mlstm(
            q * config.d_state**-0.5,
            k,
            v,
            input_gate,
            jax.nn.log_sigmoid(forget_gate),
            initial_state=state,
            **config.scan_options,
        )
        return self.out(jax.nn.sigmoid(self.output_gate(x)) * self.norm(read).reshape(x.shape)), state


MLSTMConfig.mixer = MLSTM
