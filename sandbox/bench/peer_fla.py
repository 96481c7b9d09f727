"""A peer to compare with: the chunk-parallel Triton kernels of the package fla-core, on the inputs of our rules.

The package (`import fla`, MIT) runs in torch on a GPU with CUDA. Its scale is set to one, everything else is left
at its defaults: it multiplies in bfloat16, so that its results on float32 differ from ours. Arrays are copied to
torch once. Calls queue up on the device, as those of jax do.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from sandbox.cost.timing import Call
from sandbox.scans.rule import Inputs

PACKAGE = "fla"

Tensors = dict[str, Any]
"""Torch tensors by the names of our inputs, without those that are None."""


class Operation(NamedTuple):
    """A call of the package."""

    module: str
    """Module in `fla.ops`."""
    function: str
    arguments: Tensors


Choice = Callable[[Tensors], Operation | None]
"""The operation for inputs of one of our rules; None if the package has none."""


def why_not() -> str | None:
    """Why the package cannot be used; None if it can."""
    if jax.default_backend() != "gpu":
        return f"{PACKAGE}: its kernels need a GPU"
    try:
        torch = importlib.import_module("torch")
        importlib.import_module(f"{PACKAGE}.ops")
    except ImportError as error:
        return f"{PACKAGE} cannot be imported: {error}"
    return None if torch.cuda.is_available() else f"{PACKAGE}: this torch has no CUDA"


def kernels(rule: str, inputs: Inputs) -> dict[str, Callable[[str, tuple[Any, ...]], Call]]:
    """The package's kernels for `rule`, a name in `RULES`; empty if it has none. Inputs are `[B, T, H, …]`."""
    if rule not in _OPERATIONS:
        return {}
    torch = importlib.import_module("torch")
    shapes = {field: leaf.shape for field, leaf in inputs._asdict().items() if leaf is not None}
    without_data = {field: torch.empty(shape, device="meta") for field, shape in shapes.items()}
    if (operation := _OPERATIONS[rule](without_data)) is None:
        return {}
    return {f"{PACKAGE} {operation.module}": functools.partial(_prepare, _OPERATIONS[rule], list(shapes))}


def _prepare(choose: Choice, fields: list[str], direction: str, arguments: tuple[Any, ...]) -> Call:
    forward_only = direction == "forward"
    (inputs,) = arguments if forward_only else arguments[0]
    leaves = [_to_torch(leaf).requires_grad_(not forward_only) for leaf in jax.tree.leaves(inputs)]
    cotangent = None if forward_only else _to_torch(arguments[1])
    torch = importlib.import_module("torch")

    def call() -> list[OnDevice]:
        operation = choose(dict(zip(fields, leaves, strict=True)))
        assert operation is not None
        run = getattr(importlib.import_module(f"{PACKAGE}.ops.{operation.module}"), operation.function)
        try:
            outputs, _ = run(**operation.arguments, scale=1.0)
            gradients = [] if forward_only else torch.autograd.grad(outputs, leaves, cotangent)
        except Exception as error:  # the package, torch and Triton's compiler raise many types
            raise NotImplementedError(f"{PACKAGE}: {error}") from error
        return [OnDevice(tensor) for tensor in (outputs, *gradients)]

    return call


class OnDevice:
    """A torch tensor that may not be computed yet, as `jax.block_until_ready` and numpy expect an array."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def block_until_ready(self) -> "OnDevice":
        """Waits for the device."""
        importlib.import_module("torch").cuda.synchronize()
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """A copy in float32, because numpy has no bfloat16."""
        return np.asarray(self._tensor.detach().float().cpu().numpy(), dtype)


def _to_torch(array: Array) -> Any:
    tensor = importlib.import_module("torch").from_numpy(np.array(array, np.float32)).cuda()
    return tensor.bfloat16() if array.dtype == jnp.bfloat16 else tensor


def _gated_linear_attention(x: Tensors) -> Operation:
    q, k, v = x["q"], x["k"], x["v"]
    if "log_decay" not in x:
        return Operation("simple_gla", "chunk_simple_gla", {"q": q, "k": k, "v": v})
    decay = x["log_decay"].expand(*q.shape[:3], -1)  # the package has no fixed decay: it is repeated
    if "bonus" in x:
        named = {"r": q, "k": k, "v": v, "w": decay.expand_as(k), "u": x["bonus"][0, 0]}
        return Operation("rwkv6", "chunk_rwkv6", named)
    if decay.shape[-1] == 1:
        return Operation("simple_gla", "chunk_simple_gla", {"q": q, "k": k, "v": v, "g": decay[..., 0]})
    return Operation("gla", "chunk_gla", {"q": q, "k": k, "v": v, "g": decay})


def _gated_delta_rule(x: Tensors) -> Operation:
    named = {"q": x["q"], "k": x["k"], "v": x["v"], "beta": x["beta"][..., 0]}
    if "log_decay" not in x:
        return Operation("delta_rule", "chunk_delta_rule", named)
    if x["log_decay"].shape[-1] == 1:
        return Operation("gated_delta_rule", "chunk_gated_delta_rule", named | {"g": x["log_decay"][..., 0]})
    return Operation("kda", "chunk_kda", named | {"g": x["log_decay"]})


def _generalized_delta_rule(x: Tensors) -> Operation | None:
    if "log_decay" not in x:
        return None
    named = {name: x[name] for name in ("k", "v", "a", "b")}
    return Operation("rwkv7", "chunk_rwkv7", named | {"r": x["q"], "w": x["log_decay"].expand_as(x["k"])})


_OPERATIONS: dict[str, Choice] = {
    "gated_linear_attention": _gated_linear_attention,
    "gated_delta_rule": _gated_delta_rule,
    "generalized_delta_rule": _generalized_delta_rule,
}
