"""A peer to compare with: the chunk-parallel forms of the package jax-linear-attention, on our rules' inputs.

The package (`import jla`, Apache-2.0) needs Python 3.12 and one particular version of jax, so it is not a
dependency. Its scale is set to one; its chunk sizes and precision, full float32 as ours, are its defaults.
"""

import functools
import importlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from sandbox.scans.layout import batch_size, num_tokens
from sandbox.scans.rule import Inputs, Outputs

PACKAGE = "jla"

Call = Callable[[Inputs], tuple[str, dict[str, Array]]]
"""Inputs of one of our rules -> the package's name for the rule, and its arguments."""

FORMS = {"cpu": ("chunked",), "gpu": ("chunked", "mosaic_gpu"), "tpu": ("chunked",)}
"""The package's implementations that each platform can run. The Mosaic kernels are for Hopper."""


def why_not() -> str | None:
    """Why the package cannot be used; None if it can."""
    try:
        importlib.import_module(f"{PACKAGE}.ops")
    except ImportError as error:
        return f"{PACKAGE} cannot be imported: {error}"
    return None


def forms(rule: str, inputs: Inputs) -> dict[str, Callable[[Inputs], Outputs]]:
    """The package's forms of `rule` for inputs of these shapes `[B, T, H, …]`, by name; empty if it has none."""
    if rule not in _CALLS:
        return {}
    kind, _ = _CALLS[rule](inputs)
    return {
        f"{PACKAGE} {kind}" + ("" if form == "chunked" else f", {form}"): functools.partial(
            _run, _CALLS[rule], form
        )
        for form in FORMS[jax.default_backend()]
    }


def _run(call: Call, form: str, inputs: Inputs) -> Outputs:
    ops = importlib.import_module(f"{PACKAGE}.ops")
    kind, arguments = call(inputs)
    try:
        outputs, _ = ops.linear_attention(kind, **arguments, impl=form, scale=1.0)
    except ValueError as error:  # raised for shapes that it has no such form for
        raise NotImplementedError(f"{PACKAGE}: {error}") from error
    return outputs.reshape(*inputs[0].shape[:3], -1)


def _gated_linear_attention(inputs: Inputs) -> tuple[str, dict[str, Array]]:
    arguments = {"q": inputs.q, "k": inputs.k, "v": inputs.v}
    decay = _log_decay(inputs, per_channel=inputs.bonus is not None)
    if inputs.bonus is not None:
        return "rwkv6", arguments | {"g": decay, "u": inputs.bonus[0, 0]}
    return ("gla" if decay.ndim == 4 else "simple_gla"), arguments | {"g": decay}


def _gated_delta_rule(inputs: Inputs) -> tuple[str, dict[str, Array]]:
    arguments = {"q": inputs.q, "k": inputs.k, "v": inputs.v, "beta": inputs.beta[..., 0]}
    if inputs.log_decay is None:
        return "deltanet", arguments
    decay = _log_decay(inputs)
    return ("kda" if decay.ndim == 4 else "gated_deltanet"), arguments | {"g": decay}


def _generalized_delta_rule(inputs: Inputs) -> tuple[str, dict[str, Array]]:
    arguments = {name: getattr(inputs, name) for name in ("q", "k", "v", "a", "b")}
    return "rwkv7", arguments | {"w": _log_decay(inputs, per_channel=True)}


def _mlstm(inputs: Inputs) -> tuple[str, dict[str, Array]]:
    gates = {"g": inputs.log_forget[..., 0], "i": inputs.input_gate[..., 0]}
    return "mlstm", {"q": inputs.q, "k": inputs.k, "v": inputs.v} | gates


def _selective_scan(inputs: Inputs) -> tuple[str, dict[str, Array]]:
    """The package takes the channels of all heads as one axis; each head keeps its own Bm and Cm."""
    batch, tokens, heads, channels = inputs.x.shape
    together = (batch, tokens, heads * channels)
    rates = jnp.swapaxes(inputs.A[0, 0], 1, 2).reshape(heads * channels, -1)
    by_channel = {"v": inputs.x.reshape(together), "dt": inputs.dt.reshape(together), "a": rates}
    return "mamba1", by_channel | {"q": inputs.Cm, "k": inputs.Bm}


_CALLS: dict[str, Call] = {
    "gated_linear_attention": _gated_linear_attention,
    "gated_delta_rule": _gated_delta_rule,
    "generalized_delta_rule": _generalized_delta_rule,
    "mlstm": _mlstm,
    "selective_scan": _selective_scan,
}


def _log_decay(inputs: Inputs, per_channel: bool = False) -> Array:
    """The decay as `[B, T, H]` or `[B, T, H, K]`: the package has neither a fixed decay nor a form without one."""
    leading = (batch_size(inputs), num_tokens(inputs), inputs.k.shape[2])
    decay = inputs.log_decay
    if decay is None:
        decay = 0 * inputs.k[..., :1]  # XLA would sum up a constant while it compiles, for minutes
    rows = inputs.k.shape[-1] if per_channel else decay.shape[-1]
    decay = jnp.broadcast_to(decay, (*leading, rows))
    return decay if per_channel or rows > 1 else decay[..., 0]
