"""The cases of `sandbox-bench scans`: kinds of inputs, and every implementation that maps them to outputs."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sandbox.bench import peer_fla, peer_jla
from sandbox.cost.flops import count_flops
from sandbox.cost.timing import Call
from sandbox.scans import RULES, Rule, draw_batch, run_rule
from sandbox.scans.layout import cast
from sandbox.scans.rule import Inputs, Outputs
from sandbox.shapes import PRNGKey

ATTENTION = "softmax attention"

ATTENTION_FORMS: dict[str, tuple[Literal["xla", "cudnn"], ...]] = {
    "cpu": ("xla",),
    "gpu": ("xla", "cudnn"),
    "tpu": ("xla",),
}
"""Values of `implementation` that `jax.nn.dot_product_attention` takes on each platform."""

BATCH_LENGTH = 512
"""Tokens of a sequence at which the batch has the size that is asked for."""

Function = Callable[[Inputs], Outputs]


@dataclass(frozen=True)
class Setting:
    """What is timed, and at which sizes."""

    rules: Sequence[str]
    kinds: Sequence[str]
    """Names of examples of the rules; a rule may have only some of them."""
    implementations: Sequence[str]
    lengths: Sequence[int]
    batch: int
    """Number of sequences of `BATCH_LENGTH` tokens; `batch_at` has the number at other lengths."""
    heads: int
    rows: int
    columns: int
    chunk_size: int | None
    """Tokens of a chunk. None: each rule's default."""
    dtype: str
    with_peers: bool
    """Whether the peers that this machine can run are timed too."""

    @property
    def tokens_per_call(self) -> int:
        """Tokens of all sequences, the same at every length: so are the work and the memory of a linear scan."""
        return self.batch * BATCH_LENGTH

    def batch_at(self, tokens: int) -> int:
        """Number of sequences of this length."""
        return max(1, self.tokens_per_call // tokens)


@dataclass(frozen=True)
class Case:
    """One kind of inputs, and every implementation of the map from them to outputs."""

    rule: str
    kind: str
    inputs: Inputs
    functions: dict[str, Function]
    """Our implementations, and those of peers in JAX, by name."""
    kernels: dict[str, Callable[[str, tuple[Any, ...]], Call]]
    """Implementations in another framework by name: each takes a direction and the arguments of `bind`."""
    count_flops: Callable[[str], float]
    """Direction -> operations that the definition needs."""


DIRECTIONS = ("forward", "forward+backward")


def bind(direction: str, function: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    """A function for this direction, followed by its arguments.

    Forward is `function(*arguments)`. Forward and backward also computes the gradient of every argument, for
    gradients of the results that are drawn at random.
    """
    if direction == "forward":
        return function, *arguments

    def differentiate(arguments: tuple[Any, ...], cotangents: Any) -> Any:
        results, pullback = jax.vjp(function, *arguments)
        return results, pullback(cotangents)

    def draw(leaf: jax.ShapeDtypeStruct) -> Array:
        return jax.random.normal(jax.random.key(1), leaf.shape).astype(leaf.dtype)

    return differentiate, arguments, jax.tree.map(draw, jax.eval_shape(function, *arguments))


def make_cases(setting: Setting, tokens: int) -> Iterator[Case]:
    """Yields softmax attention, then every kind of inputs of every rule that is asked for."""
    yield _attention_case(setting, tokens)
    for name in setting.rules:
        for kind in RULES[name].examples:
            if kind in setting.kinds:
                yield _scan_case(setting, tokens, RULES[name], kind)


def _scan_case(setting: Setting, tokens: int, rule: Rule, kind: str) -> Case:
    batch = setting.batch_at(tokens)

    @jax.jit
    def draw(key: PRNGKey) -> Inputs:
        sizes = {"heads": setting.heads, "rows": setting.rows, "columns": setting.columns}
        return cast(draw_batch(rule.examples[kind], key, batch=batch, tokens=tokens, **sizes), setting.dtype)

    inputs = draw(jax.random.key(0))

    def run(implementation: str, inputs: Inputs) -> Outputs:
        size = setting.chunk_size
        return run_rule(rule, inputs, dtype=setting.dtype, implementation=implementation, chunk_size=size)[0]

    def count(direction: str) -> float:
        token = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[3:]), inputs)
        per_token = count_flops(*bind(direction, rule.step, rule.initial_state(token), token))
        return batch * setting.heads * tokens * per_token

    functions: dict[str, Function] = {name: functools.partial(run, name) for name in setting.implementations}
    kernels = {}
    if setting.with_peers and peer_jla.why_not() is None:
        functions |= peer_jla.forms(rule.name, inputs)
    if setting.with_peers and peer_fla.why_not() is None:
        kernels = peer_fla.kernels(rule.name, inputs)
    return Case(rule.name, kind, inputs, functions, kernels, count)


class AttentionInputs(NamedTuple):
    """Queries, keys and values."""

    q: Float[Array, "B T H K"]
    k: Float[Array, "B T H K"]
    v: Float[Array, "B T H V"]


def _attention_case(setting: Setting, tokens: int) -> Case:
    leading, keys = (setting.batch_at(tokens), tokens, setting.heads), jax.random.split(jax.random.key(0), 3)
    sizes = (setting.rows, setting.rows, setting.columns)
    arrays = (jax.random.normal(key, (*leading, size)) for key, size in zip(keys, sizes, strict=True))
    inputs = cast(AttentionInputs(*arrays), setting.dtype)

    def attend(implementation: Literal["xla", "cudnn"], inputs: AttentionInputs) -> Array:
        q, k, v = inputs
        try:
            return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation=implementation)
        except ValueError as error:  # raised for shapes that it cannot run
            raise NotImplementedError(str(error)) from error

    def count(direction: str) -> float:
        return count_flops(*bind(direction, functools.partial(attend, "xla"), inputs))

    forms = ATTENTION_FORMS[jax.default_backend()]
    functions: dict[str, Function] = {form: functools.partial(attend, form) for form in forms}
    return Case(ATTENTION, "causal", inputs, functions, {}, count)
