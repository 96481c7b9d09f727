"""Checks of arguments. An error is one line: the name, what it is, and what is expected."""

from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from sandbox.scans.layout import batch_size, num_tokens
from sandbox.scans.rule import Inputs


def read_dims(name: str, array: Array, letters: str) -> dict[str, int]:
    """The size of each axis, by its letter; T must be at least one."""
    expected = f"[{', '.join(letters)}]"
    check_is_floating(name, array, expected)
    if array.ndim != len(letters):
        raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
    dims = dict(zip(letters, array.shape, strict=True))
    if dims["T"] == 0:
        raise ValueError(f"{name} has shape {array.shape}, expected at least one token (T >= 1)")
    return dims


def check_shape(name: str, array: Array, letters: str, dims: dict[str, int]) -> None:
    """Rejects an array whose shape is not that of the letters."""
    expected = tuple(dims[letter] for letter in letters)
    check_is_floating(name, array, f"[{', '.join(letters)}]")
    if array.shape != expected:
        raise ValueError(f"{name} has shape {array.shape}, expected [{', '.join(letters)}] = {expected}")


def check_is_floating(name: str, array: Any, expected: str, *, may_be_complex: bool = False) -> None:
    """Rejects anything but floating-point arrays; integers would round the outputs."""
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise ValueError(f"{name} is {array!r}, expected an array {expected}")
    if not jnp.issubdtype(array.dtype, jnp.inexact if may_be_complex else jnp.floating):
        raise ValueError(f"{name} has dtype {array.dtype}, expected a floating-point one")


def check_is_a(expected: type, name: str, value: Any) -> None:
    """Rejects a state that is not a named tuple of type `expected`."""
    if not isinstance(value, expected):
        raise ValueError(f"{name} is a {type(value).__name__}, expected {expected.__name__}")


def check_segment_ids(segment_ids: Any, batch: int, tokens: int) -> None:
    """Rejects anything but integers `[B, T]`."""
    expected = f"[B, T] = {(batch, tokens)}"
    if not hasattr(segment_ids, "shape") or not hasattr(segment_ids, "dtype"):
        raise ValueError(f"segment_ids is {segment_ids!r}, expected an array of integers {expected}")
    if segment_ids.shape != (batch, tokens):
        raise ValueError(f"segment_ids has shape {segment_ids.shape}, expected {expected}")
    if not jnp.issubdtype(segment_ids.dtype, jnp.integer):
        raise ValueError(f"segment_ids has dtype {segment_ids.dtype}, expected integers")
    if isinstance(segment_ids, np.ndarray) and segment_ids.size:
        kept = np.iinfo(jax.dtypes.canonicalize_dtype(segment_ids.dtype))
        lowest, highest = int(segment_ids.min()), int(segment_ids.max())
        if lowest < kept.min or highest > kept.max:
            raise ValueError(f"segment_ids go from {lowest} to {highest}, and JAX keeps {kept.bits} bits of them")


def check_chunk_size(chunk_size: Any) -> None:
    """Rejects anything but a power of two or None."""
    if chunk_size is None:
        return
    if not isinstance(chunk_size, Integral) or chunk_size < 1 or chunk_size & (chunk_size - 1):
        raise ValueError(f"chunk_size={chunk_size!r} is not a power of two")


def check_inputs(inputs: Inputs) -> None:
    """Rejects leaves that are not `[B, T, H, …]`; B or T may be one."""
    leaves = {name: leaf for name, leaf in inputs._asdict().items() if leaf is not None}
    for name, leaf in leaves.items():
        if leaf.ndim < 3:
            raise ValueError(f"{name} has shape {leaf.shape}, expected [B, T, H, …]")
    batch, tokens = batch_size(inputs), num_tokens(inputs)
    heads = max(leaf.shape[2] for leaf in leaves.values())
    if tokens == 0:
        raise ValueError(f"{', '.join(leaves)} have no token, expected at least one (T >= 1)")
    for name, leaf in leaves.items():
        b, t, h = leaf.shape[:3]
        if b not in (1, batch) or t not in (1, tokens) or h != heads:
            expected = f"B={batch} or 1, T={tokens} or 1, H={heads}"
            raise ValueError(f"{name} has shape {leaf.shape}, expected [B, T, H, …] with {expected}")
