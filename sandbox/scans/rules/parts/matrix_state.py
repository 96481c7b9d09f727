"""What the public functions of rules with a matrix state `[K, V]` per head share."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.scans.argument_checks import check_is_floating, check_shape, read_dims
from sandbox.scans.rule import Inputs

LogDecay = Float[Array, "H 1"] | Float[Array, "H K"] | Float[Array, "B T H 1"] | Float[Array, "B T H K"] | None
"""Natural log of the decay, <= 0, per head or per channel, fixed or data-dependent."""


def empty_matrix(inputs: Inputs) -> Float[Array, "K V"]:
    """Zeros: the state before the first token."""
    return jnp.zeros((inputs.k.shape[-1], inputs.v.shape[-1]))


def over_time(per_head: Array | None) -> Array | None:
    """`[H, …]` as `[1, 1, H, …]`, shared by all sequences and tokens; `[B, T, H, …]` is returned unchanged."""
    return per_head if per_head is None or per_head.ndim == 4 else per_head[None, None]


def check_queries_keys_values(q: Array, k: Array, v: Array) -> dict[str, int]:
    """Checks the shapes of q, k and v, and returns the size of each axis by its letter."""
    of_q, of_v = read_dims("q", q, "BTHK"), read_dims("v", v, "BTHV")
    dims = of_v | of_q
    check_shape("k", k, "BTHK", dims)
    check_shape("v", v, "BTHV", dims)
    return dims


def check_decay_and_state(log_decay: Array | None, initial_state: Array | None, dims: dict[str, int]) -> None:
    """Checks two optional arguments: a `LogDecay`, and a matrix state `[B, H, K, V]`."""
    if log_decay is not None:
        _check_log_decay(log_decay, dims)
    if initial_state is not None:
        check_shape("initial_state", initial_state, "BHKV", dims)


def _check_log_decay(log_decay: Array, dims: dict[str, int]) -> None:
    kinds = "[H, 1], [H, K], [B, T, H, 1] or [B, T, H, K]"
    check_is_floating("log_decay", log_decay, kinds)
    batch, time, heads, key = (dims[letter] for letter in "BTHK")
    allowed = ((heads, 1), (heads, key), (batch, time, heads, 1), (batch, time, heads, key))
    if log_decay.shape not in allowed:
        raise ValueError(
            f"log_decay has shape {log_decay.shape}, expected {kinds} with B={batch}, T={time}, H={heads}, K={key}"
        )
