"""Functions in the operations that Mosaic GPU knows: it lacks some of those that gradients are made of."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Literal
from jaxtyping import Array


def _integer_pow(x: Array, *, y: int) -> Array:
    power = jnp.ones_like(x)
    for _ in range(abs(y)):
        power = power * x
    return power if y >= 0 else 1.0 / power


_IN_OTHER_WORDS: dict[str, Callable[..., Array]] = {
    "stop_gradient": lambda x: x,
    "add_any": lax.add,
    "integer_pow": _integer_pow,
}
"""What the gradients of a step are made of and Mosaic GPU does not know, in operations that it does."""


def lowerable(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of arrays, of which no more gradients are taken, in operations that Mosaic GPU knows."""

    def run(*arguments: Any) -> Any:
        program, results = jax.make_jaxpr(function, return_shape=True)(*arguments)
        known = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        known |= zip(program.jaxpr.invars, jax.tree.leaves(arguments), strict=True)

        def read(variable: Any) -> Any:
            return variable.val if isinstance(variable, Literal) else known[variable]

        for equation in program.jaxpr.eqns:
            primitive, parameters = equation.primitive, equation.primitive.get_bind_params(equation.params)
            apply = _IN_OTHER_WORDS.get(primitive.name, primitive.bind)
            values = apply(*map(read, equation.invars), **parameters)
            known |= zip(equation.outvars, values if primitive.multiple_results else [values], strict=True)
        return jax.tree.unflatten(jax.tree.structure(results), map(read, program.jaxpr.outvars))

    return run
