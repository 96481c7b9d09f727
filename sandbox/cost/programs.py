"""The programs of a model, as functions of arrays that can be counted, compiled and timed."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from sandbox.arithmetic import operations
from sandbox.cost.flops import traced
from sandbox.models.lm import LanguageModel
from sandbox.ran import noted_implementations


class Tracing(NamedTuple):
    """What is known of a program once it is traced, before anything is compiled."""

    implementations: list[str]
    """Each implementation of a scan or of attention that runs in it; `xla` where none was chosen."""
    flops_per_token: float | None
    """Operations per token, counting every loop iteration; None if a part cannot be counted."""


class Program(NamedTuple):
    """A function and the shapes of its arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    tokens: int
    """Tokens that one call processes."""

    def trace(self) -> Tracing:
        """Traces the program once, and counts its operations.

        Raises:
            NotImplementedError: an implementation that was asked for by name cannot run here.
        """
        with noted_implementations() as noted:
            jaxpr = traced(self.function, *self.arguments)
        try:
            flops = operations(jaxpr)[0] / self.tokens
        except NotImplementedError:
            flops = None
        return Tracing(noted.names or ["xla"], flops)


def training(model: LanguageModel, batch: int, length: int, scored: int | None = None) -> Program:
    """Loss and gradients of one training step, forward and backward; the optimiser's update is left out.

    The arrays of the model may be shapes. `scored` positions of each sequence reach the readout. None: every one.
    """
    graph, params, *others = nnx.split(model, nnx.Param, ...)

    def differentiate(params: Any, others: Any, tokens: Any, positions: Any, targets: Any) -> Any:
        def loss(params: Any) -> Any:
            model = nnx.merge(graph, params, *others)
            logits = model(tokens, None if scored is None else positions)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets))

        return jax.value_and_grad(loss)(params)

    scored_positions = _integers(batch, length if scored is None else scored)
    arguments = (params, others, _integers(batch, length), scored_positions, scored_positions)
    return Program(differentiate, arguments, batch * length)


def prefill(model: LanguageModel, batch: int, length: int) -> Program:
    """Logits at every token of a sequence and the state after it, from the empty state."""
    graph, variables = nnx.split(model)

    def run(variables: Any, tokens: Any) -> Any:
        model = nnx.merge(graph, variables)
        return model.prefill(tokens, model.init_state(batch, length))

    return Program(run, (variables, _integers(batch, length)), batch * length)


def decoding(model: LanguageModel, batch: int, context: int) -> Program:
    """The next token, from a state with space for `context` tokens, this one included."""
    graph, variables = nnx.split(model)

    def step(variables: Any, state: Any, tokens: Any) -> Any:
        return nnx.merge(graph, variables).step(tokens, state)

    state = nnx.eval_shape(lambda: model.init_state(batch, context))
    return Program(step, (variables, state, _integers(batch)), batch)


PHASES: Mapping[str, Callable[[LanguageModel, int, int], Program]] = {
    "training": training,
    "prefill": prefill,
    "decoding": decoding,
}
"""Name of a phase -> function from a model, the number of sequences and their tokens to a program."""


def _integers(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)
