"""The public functions of the rules whose state is a matrix `[K, V]` per head.

All take `[B, T, H, …]` arrays in float32 or bfloat16, any T >= 1, and return `(outputs, final_state)`: the
outputs in the dtype of `v`, the state in float32. All are differentiable in every array argument and may be
used under `jit`, `vmap`, `grad`, `lax.scan` and `jax.checkpoint`. There is no hidden scale: `q` is used as
given. A log decay is finite: -200 forgets everything, as its exponential has no float32. Called with T = 1 they
take one step of the definition without any loop: this is how a model decodes.
"""

from jaxtyping import Array, Float

from sandbox.scans.argument_checks import check_is_a, check_is_floating, check_shape, read_dims
from sandbox.scans.dispatch import run_rule
from sandbox.scans.rules.gated_delta_rule import GATED_DELTA_RULE, GatedDeltaRuleInputs
from sandbox.scans.rules.gated_linear_attention import GATED_LINEAR_ATTENTION, GatedLinearAttentionInputs
from sandbox.scans.rules.generalized_delta_rule import GENERALIZED_DELTA_RULE, GeneralizedDeltaRuleInputs
from sandbox.scans.rules.mlstm import MLSTM, MLSTMInputs, MLSTMState

LogDecay = Float[Array, "H 1"] | Float[Array, "H K"] | Float[Array, "B T H 1"] | Float[Array, "B T H K"] | None
"""Natural log of the decay, <= 0. The shape is the kind: per head or per channel, fixed or data-dependent."""


def gated_linear_attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    log_decay: LogDecay = None,
    bonus: Float[Array, "H K"] | None = None,
    *,
    initial_state: Float[Array, "B H K V"] | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Linear attention whose state is forgotten by a diagonal decay.

        S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_tᵀ ,   o_t = S_tᵀ q_t
        with a bonus u:                                      o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ q_t

    Sources: linear attention (arXiv:2006.16236), RetNet (arXiv:2307.08621, section 2), GLA (arXiv:2312.06635,
    section 4), Mamba-2 (arXiv:2405.21060, section 5); the bonus: RWKV-5 and 6 (arXiv:2404.05892, section 4).

    Args:
        q: queries, used as given.
        k: keys.
        v: values.
        log_decay: natural log of the decay per token, finite and <= 0. None keeps everything;
            `[H, 1]` or `[H, K]` is fixed over time; `[B, T, H, 1]` or `[B, T, H, K]` depends on the data.
        bonus: weight of the current token when it is read before it is written.
        initial_state: the state before the first token; zeros when None.
        implementation: a name in `IMPLEMENTATIONS`, or "auto" (see `resolve_implementation`).
        chunk_size: tokens per chunk of the chunked form, a power of two; None is the default of the rule.

    Returns:
        The outputs `[B, T, H, V]` in the dtype of `v`, and the state after the last token in float32.

    Raises:
        ValueError: a shape is wrong, `implementation` is unknown, or `chunk_size` is not a power of two.
        NotImplementedError: the named implementation cannot run this rule.
    """
    dims = _check_queries_keys_values(q, k, v)
    _check_log_decay(log_decay, dims)
    if bonus is not None:
        check_shape("bonus", bonus, "HK", dims)
    if initial_state is not None:
        check_shape("initial_state", initial_state, "BHKV", dims)
    return run_rule(
        GATED_LINEAR_ATTENTION,
        GatedLinearAttentionInputs(q, k, v, _over_time(log_decay), _over_time(bonus)),
        dtype=v.dtype,
        initial_state=initial_state,
        implementation=implementation,
        chunk_size=chunk_size,
    )


def gated_delta_rule(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    beta: Float[Array, "B T H"],
    log_decay: LogDecay = None,
    *,
    initial_state: Float[Array, "B H K V"] | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Linear attention that replaces what the state returns for a key, in place of adding to it.

        S_t = (I - beta_t k_t k_tᵀ) diag(exp(log_decay_t)) S_{t-1} + beta_t k_t v_tᵀ ,   o_t = S_tᵀ q_t

    Sources: DeltaNet (arXiv:2406.06484, section 2), Gated DeltaNet (arXiv:2412.06464, section 3), Kimi Delta
    Attention (arXiv:2510.26692, section 3).

    Args:
        q: queries, used as given.
        k: keys. The rule is stable for `beta_t |k_t|² <= 2`; keys of norm one are customary.
        v: values.
        beta: step size, 0 to 1; up to 2 gives the transition negative eigenvalues (arXiv:2411.12537).
        log_decay: natural log of the decay per token, finite and <= 0. None keeps everything;
            `[H, 1]` or `[H, K]` is fixed over time; `[B, T, H, 1]` or `[B, T, H, K]` depends on the data.
        initial_state: the state before the first token; zeros when None.
        implementation: a name in `IMPLEMENTATIONS`, or "auto" (see `resolve_implementation`).
        chunk_size: tokens per chunk of the chunked form, a power of two; None is the default of the rule.

    Returns:
        The outputs `[B, T, H, V]` in the dtype of `v`, and the state after the last token in float32.

    Raises:
        ValueError: a shape is wrong, `implementation` is unknown, or `chunk_size` is not a power of two.
        NotImplementedError: the named implementation cannot run this rule.
    """
    dims = _check_queries_keys_values(q, k, v)
    check_shape("beta", beta, "BTH", dims)
    _check_log_decay(log_decay, dims)
    if initial_state is not None:
        check_shape("initial_state", initial_state, "BHKV", dims)
    return run_rule(
        GATED_DELTA_RULE,
        GatedDeltaRuleInputs(q, k, v, beta[..., None], _over_time(log_decay)),
        dtype=v.dtype,
        initial_state=initial_state,
        implementation=implementation,
        chunk_size=chunk_size,
    )


def generalized_delta_rule(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    a: Float[Array, "B T H K"],
    b: Float[Array, "B T H K"],
    log_decay: LogDecay = None,
    *,
    initial_state: Float[Array, "B H K V"] | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """Linear attention whose state is multiplied by a diagonal plus a matrix of rank one.

        S_t = (diag(exp(log_decay_t)) + b_t a_tᵀ) S_{t-1} + k_t v_tᵀ ,   o_t = S_tᵀ q_t

    a reads the state before it decays. With a = -beta k, b = k, v scaled by beta and no decay this is the delta
    rule; RWKV-7 is a = -κ̂, b = κ̂ ⊙ η with κ̂ of norm one and 0 <= η <= 1 per channel.

    Source: RWKV-7 (arXiv:2503.14456, section 4).

    Args:
        q: queries, used as given.
        k: keys.
        v: values.
        a: what is read from the state before each token. Nothing bounds the transition for you: the rule is
            stable where no `diag(exp(log_decay_t)) + b_t a_tᵀ` enlarges the state.
        b: where what was read is added again; opposed to `a`, it removes.
        log_decay, initial_state, implementation, chunk_size: as in `gated_linear_attention`.

    Returns:
        The outputs `[B, T, H, V]` in the dtype of `v`, and the state after the last token in float32.

    Raises:
        ValueError: a shape is wrong, `implementation` is unknown, or `chunk_size` is not a power of two.
        NotImplementedError: the named implementation cannot run this rule.
    """
    dims = _check_queries_keys_values(q, k, v)
    check_shape("a", a, "BTHK", dims)
    check_shape("b", b, "BTHK", dims)
    _check_log_decay(log_decay, dims)
    if initial_state is not None:
        check_shape("initial_state", initial_state, "BHKV", dims)
    return run_rule(
        GENERALIZED_DELTA_RULE,
        GeneralizedDeltaRuleInputs(q, k, v, a, b, _over_time(log_decay)),
        dtype=v.dtype,
        initial_state=initial_state,
        implementation=implementation,
        chunk_size=chunk_size,
    )


def mlstm(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T H K"],
    v: Float[Array, "B T H V"],
    input_gate: Float[Array, "B T H"],
    log_forget: Float[Array, "B T H"],
    *,
    initial_state: MLSTMState | None = None,
    implementation: str = "auto",
    chunk_size: int | None = None,
) -> tuple[Float[Array, "B T H V"], MLSTMState]:
    """Linear attention whose tokens are weighted by an exponential gate and normalised by what is remembered.

        C_t = exp(log_forget_t) C_{t-1} + exp(input_gate_t) k_t v_tᵀ
        n_t = exp(log_forget_t) n_{t-1} + exp(input_gate_t) k_t ,   h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, 1)

    C and n are kept in units of exp(m_t), m_t = max(log_forget_t + m_{t-1}, input_gate_t), so that no gate
    overflows. m_t is a constant to derivatives of the final state (see `rules/mlstm.py`).

    Source: xLSTM (arXiv:2405.04517, section 2.3). The paper divides keys by sqrt(K); here they are used as given.

    Args:
        q: queries, used as given.
        k: keys.
        v: values.
        input_gate: natural log of the input gate i_t, of any sign: the pre-activation of the paper.
        log_forget: natural log of the forget gate f_t, finite and <= 0: log_sigmoid of its pre-activation.
        initial_state: the state before the first token; zeros when None.
        implementation, chunk_size: as in `gated_linear_attention`.

    Returns:
        The outputs `[B, T, H, V]` in the dtype of `v`, and the state after the last token in float32: memory
        `[B, H, K, V]`, normalizer `[B, H, 1, K]` and stabilizer `[B, H, 1, 1]`.

    Raises:
        ValueError: a shape is wrong, `implementation` is unknown, or `chunk_size` is not a power of two.
        NotImplementedError: the named implementation cannot run this rule.
    """
    dims = _check_queries_keys_values(q, k, v) | {"1": 1}
    check_shape("input_gate", input_gate, "BTH", dims)
    check_shape("log_forget", log_forget, "BTH", dims)
    if initial_state is not None:
        check_is_a(MLSTMState, "initial_state", initial_state)
        check_shape("initial_state.memory", initial_state.memory, "BHKV", dims)
        check_shape("initial_state.normalizer", initial_state.normalizer, "BH1K", dims)
        check_shape("initial_state.stabilizer", initial_state.stabilizer, "BH11", dims)
    return run_rule(
        MLSTM,
        MLSTMInputs(q, k, v, input_gate[..., None], log_forget[..., None]),
        dtype=v.dtype,
        initial_state=initial_state,
        implementation=implementation,
        chunk_size=chunk_size,
    )


def _over_time(per_head: Array | None) -> Array | None:
    """`[H, …]` as `[1, 1, H, …]`, shared by all sequences and tokens; what has a time axis is left alone."""
    return per_head if per_head is None or per_head.ndim == 4 else per_head[None, None]


def _check_queries_keys_values(q: Array, k: Array, v: Array) -> dict[str, int]:
    """The size of every letter, read off q and v."""
    of_q, of_v = read_dims("q", q, "BTHK"), read_dims("v", v, "BTHV")
    dims = of_v | of_q
    check_shape("k", k, "BTHK", dims)
    check_shape("v", v, "BTHV", dims)
    return dims


def _check_log_decay(log_decay: Array | None, dims: dict[str, int]) -> None:
    if log_decay is None:
        return
    kinds = "[H, 1], [H, K], [B, T, H, 1] or [B, T, H, K]"
    check_is_floating("log_decay", log_decay, kinds)
    batch, time, heads, key = (dims[letter] for letter in "BTHK")
    allowed = ((heads, 1), (heads, key), (batch, time, heads, 1), (batch, time, heads, key))
    if log_decay.shape not in allowed:
        raise ValueError(
            f"log_decay has shape {log_decay.shape}, expected {kinds} with B={batch}, T={time}, H={heads}, K={key}"
        )
